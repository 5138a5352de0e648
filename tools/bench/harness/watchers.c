/*
 * Subscribers of an event stream: opens connections, sends a request on each, and counts events until the
 * last connection has received the last one.
 *
 *   watchers PORT CONNECTIONS EVENTS MARK REQUESTS TIMES
 *
 * MARK is text that every event contains once. REQUESTS is a file of requests, each ended by a zero byte,
 * which the connections use in turn. EVENTS is the number of events that each connection waits for; with 0
 * they idle until the program is ended.
 *
 * It prints "ready" when every connection has received the head of its response, "first K" when the first
 * connection has received K events, "all K" when all have (only the highest K that one read completes), and
 * "done BYTES BEGAN" at the end. TIMES then has a line for each event: when the first and when the last
 * connection received it. BEGAN is when the first connection was opened. All times are of the clock of day,
 * in microseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* So many connections are being opened at a time: an accept queue has its bounds. */
#define OPENING 128
#define BUFFER (256 * 1024)
#define HEAD_END "\r\n\r\n"

struct text {
  const char *bytes;
  size_t length;
  /* Where to go on when the byte after so many that fit does not (Knuth, Morris and Pratt). */
  size_t *fallback;
};

struct connection {
  int fd;
  int headed;
  size_t matched;
  long events;
};

static struct text mark, head_end;
static struct connection *connections;
static long count, expected, opened, headed, finished;
static long long bytes;
static long *arrived;
static long long *first, *last;
static const char **requests;
static long request_count;
static int epoll_fd, port;
static char buffer[BUFFER];

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static struct text text_of(const char *bytes) {
  struct text text = {bytes, strlen(bytes), calloc(strlen(bytes) + 1, sizeof(size_t))};
  for (size_t i = 1, fit = 0; i < text.length; i++) {
    while (fit > 0 && bytes[i] != bytes[fit]) fit = text.fallback[fit];
    if (bytes[i] == bytes[fit]) fit++;
    text.fallback[i + 1] = fit;
  }
  return text;
}

/*
 * Continues the search for `text` in `data`. Returns what follows it, or NULL. `matched` carries over to the
 * next data.
 */
static const char *find(const struct text *text, size_t *matched, const char *data, const char *end) {
  while (data < end) {
    if (*matched == 0) {
      const char *found = memmem(data, end - data, text->bytes, text->length);
      if (found) return found + text->length;
      /* Only its beginning can still be there, at the very end. */
      if ((size_t)(end - data) >= text->length) data = end - text->length + 1;
    }
    for (; data < end; data++) {
      while (*matched > 0 && *data != text->bytes[*matched]) *matched = text->fallback[*matched];
      if (*data == text->bytes[*matched]) ++*matched;
      if (*matched == text->length) {
        *matched = 0;
        return data + 1;
      }
      if (*matched == 0 && (size_t)(end - data) > text->length) break;
    }
  }
  return NULL;
}

static void open_next(void) {
  struct connection *c = &connections[opened];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0) fail("connection %ld: %s", opened, strerror(errno));
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0)
    fail("connection %ld: %s", opened, strerror(errno));
  const char *request = requests[opened % request_count];
  if (send(c->fd, request, strlen(request), 0) != (ssize_t)strlen(request)) fail("failed to send a request");
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event interest = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &interest);
  opened++;
}

static const char *read_head(struct connection *c, const char *data, const char *end) {
  if (c->matched == 0 && memmem(data, end - data, " 200 ", 5) == NULL)
    fail("connection %ld was answered: %.*s", (long)(c - connections), (int)(end - data), data);
  const char *body = find(&head_end, &c->matched, data, end);
  if (!body) return end;
  c->headed = 1;
  c->matched = 0;
  headed++;
  if (opened < count) open_next();
  if (headed == count) {
    puts("ready");
    fflush(stdout);
  }
  return body;
}

static void count_events(struct connection *c, const char *data, const char *end) {
  long before = c->events;
  while (data < end && (data = find(&mark, &c->matched, data, end))) c->events++;
  if (c->events == before || expected == 0) return;
  if (c->events > expected) fail("connection %ld had more events than there are", (long)(c - connections));
  long long moment = now();
  int is_first = arrived[c->events - 1] == 0;
  long all_have = 0;
  for (long k = before; k < c->events; k++) {
    if (arrived[k]++ == 0) first[k] = moment;
    last[k] = moment;
    if (arrived[k] == count) all_have = k + 1;
  }
  if (all_have > 0) printf("all %ld\n", all_have);
  if (is_first) printf("first %ld\n", c->events);
  if (all_have > 0 || is_first) fflush(stdout);
  if (c->events == expected) finished++;
}

static void receive(struct connection *c) {
  ssize_t length = recv(c->fd, buffer, BUFFER, 0);
  if (length < 0 && errno == EAGAIN) return;
  if (length <= 0)
    fail("connection %ld was closed after %ld events", (long)(c - connections), c->events);
  bytes += length;
  const char *data = buffer, *end = buffer + length;
  if (!c->headed) data = read_head(c, data, end);
  if (data < end) count_events(c, data, end);
}

static void read_requests(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) fail("%s: %s", path, strerror(errno));
  char *request = NULL;
  size_t size = 0;
  while (getdelim(&request, &size, 0, file) > 0) {
    requests = realloc(requests, (request_count + 1) * sizeof *requests);
    requests[request_count++] = strdup(request);
  }
  fclose(file);
}

int main(int argc, char **argv) {
  if (argc != 7) fail("usage: watchers PORT CONNECTIONS EVENTS MARK REQUESTS TIMES");
  port = atoi(argv[1]);
  count = atol(argv[2]);
  expected = atol(argv[3]);
  mark = text_of(argv[4]);
  head_end = text_of(HEAD_END);
  read_requests(argv[5]);
  connections = calloc(count, sizeof *connections);
  arrived = calloc(expected + 1, sizeof *arrived);
  first = calloc(expected + 1, sizeof *first);
  last = calloc(expected + 1, sizeof *last);
  epoll_fd = epoll_create1(0);
  long long began = now();
  while (opened < count && opened < OPENING) open_next();

  struct epoll_event ready[1024];
  while (expected == 0 || finished < count) {
    int n = epoll_wait(epoll_fd, ready, 1024, -1);
    for (int i = 0; i < n; i++) receive(ready[i].data.ptr);
  }

  FILE *times = fopen(argv[6], "w");
  if (!times) fail("%s: %s", argv[6], strerror(errno));
  for (long k = 0; k < expected; k++) fprintf(times, "%lld %lld\n", first[k], last[k]);
  if (fclose(times) != 0) fail("%s: %s", argv[6], strerror(errno));
  printf("done %lld %lld\n", bytes, began);
  return 0;
}
