/*
 * The limit of this machine's loopback: a server that only sends the same bytes to every connection, with one
 * send() each.
 *
 *   sender CONNECTIONS
 *
 * It prints "port N", accepts that many connections and responds to each. Then, for each line "EVENTS BYTES"
 * of its input, it sends an event of BYTES bytes, marked like the real ones, to every connection, EVENTS
 * times in a row.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void send_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0) fail("send");
    bytes += sent;
    length -= sent;
  }
}

static int listen_anywhere(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof address;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 1024) < 0) fail("listen");
  if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) fail("getsockname");
  printf("port %d\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

int main(int argc, char **argv) {
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
  static const char mark[] = "id: 1\nevent: item.created\ndata: {\"part_number\":\"";
  char request[4096];
  long count = argc > 1 ? atol(argv[1]) : 0;
  int *fds = calloc(count, sizeof *fds);
  int listener = listen_anywhere();
  for (long i = 0; i < count; i++) {
    fds[i] = accept(listener, NULL, NULL);
    if (fds[i] < 0) fail("accept");
    if (recv(fds[i], request, sizeof request, 0) <= 0) fail("recv");
    send_all(fds[i], answer, sizeof answer - 1);
  }
  long events;
  size_t length;
  while (scanf("%ld %zu", &events, &length) == 2) {
    if (length < sizeof mark + 4) length = sizeof mark + 4;
    char *event = malloc(length);
    memset(event, 'x', length);
    memcpy(event, mark, sizeof mark - 1);
    memcpy(event + length - 4, "\"}\n\n", 4);
    for (long k = 0; k < events; k++)
      for (long i = 0; i < count; i++) send_all(fds[i], event, length);
    free(event);
  }
  return 0;
}
