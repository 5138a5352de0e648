# Varnish in front of two instances. It needs 6.0 or newer.
# TRUST_PROXY of the instances must name the address of this Varnish.
vcl 4.1;

import directors;
import std;

# An instance that has lost the database keeps its streams: it is taken out only while it starts or ends.
probe ready {
  .url = "/ready?degraded=ok";
  .interval = 1s;
  .timeout = 2s;
  .window = 2;
  .threshold = 1;
  .initial = 1;
}

# A stream carries a heartbeat every 30 s (HEARTBEAT_MS): only a dead one is silent for 90 s.
backend silo_1 {
  .host = "silo-1";
  .port = "8080";
  .probe = ready;
  .connect_timeout = 3s;
  .first_byte_timeout = 90s;
  .between_bytes_timeout = 90s;
}
backend silo_2 {
  .host = "silo-2";
  .port = "8080";
  .probe = ready;
  .connect_timeout = 3s;
  .first_byte_timeout = 90s;
  .between_bytes_timeout = 90s;
}

sub vcl_init {
  new silo = directors.round_robin();
  silo.add_backend(silo_1);
  silo.add_backend(silo_2);
}

sub vcl_recv {
  set req.backend_hint = silo.backend();
  # Set, not appended to: what a client claims is not passed on. With TLS ended in front by hitch, client.ip is its client's (PROXY).
  set req.http.X-Forwarded-For = client.ip;
  set req.http.X-Forwarded-Host = req.http.Host;
  if (std.port(local.ip) == 443) {
    set req.http.X-Forwarded-Proto = "https";
  } else {
    set req.http.X-Forwarded-Proto = "http";
  }
  # Nothing is kept: every response says "no-store".
  return (pass);
}

sub vcl_backend_response {
  if (beresp.http.Content-Type ~ "^(application/json|text/csv)") {
    set beresp.do_gzip = true;
  }
}

sub vcl_backend_error {
  # A read is sent to the other instance. A write is not: nothing tells here whether it has arrived.
  if (bereq.retries == 0 && (bereq.method == "GET" || bereq.method == "HEAD")) {
    return (retry);
  }
  # During an outage: any status but 200 stops a browser's EventSource for good. "retry:" shares its block with an event, for
  # clients that ignore a block without one. Varnish can't hold the response back.
  if (bereq.url ~ "^/api/events(\?|$)" && (bereq.http.Accept ~ "(?i)text/event-stream" ||
      !(bereq.http.Accept ~ "(?i)application/json" || bereq.url ~ "[?&](last|limit|wait)="))) {
    set beresp.status = 200;
    set beresp.http.Content-Type = "text/event-stream";
    set beresp.http.Cache-Control = "no-store, no-transform";
    synthetic("retry: " + std.real2integer(std.random(2000, 5000), 3000) + {"
event: server.state
data: {"mode":"degraded" }

"});
    return (deliver);
  }
}
