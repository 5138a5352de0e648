# Varnish in front of two instances. Requires Varnish 6.0 or newer.
# TRUST_PROXY of the instances must contain the address of this Varnish.
vcl 4.1;

import directors;
import std;

# An instance that can't reach its database keeps its streams. It is unhealthy only during startup and
# shutdown.
probe ready {
  .url = "/ready?degraded=ok";
  .interval = 1s;
  .timeout = 2s;
  .window = 2;
  .threshold = 1;
  .initial = 1;
}

# A stream has a heartbeat every 30 s (HEARTBEAT_MS): one that is silent for 90 s is dead.
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
  # These headers replace those of the client, so that it can't forge them. Behind hitch, which terminates
  # TLS, client.ip is the address of hitch's client (PROXY protocol).
  set req.http.X-Forwarded-For = client.ip;
  set req.http.X-Forwarded-Host = req.http.Host;
  if (std.port(local.ip) == 443) {
    set req.http.X-Forwarded-Proto = "https";
  } else {
    set req.http.X-Forwarded-Proto = "http";
  }
  # Nothing is cached: every response has "no-store".
  return (pass);
}

sub vcl_backend_response {
  if (beresp.http.Content-Type ~ "^(application/json|text/csv)") {
    set beresp.do_gzip = true;
  }
}

sub vcl_backend_error {
  # A read is sent to the other instance. A write is not, because it is not known here whether it has arrived.
  if (bereq.retries == 0 && (bereq.method == "GET" || bereq.method == "HEAD")) {
    return (retry);
  }
  # While no instance can be reached, a stream gets status 200, because a browser's EventSource never
  # reconnects after any other status. "retry:" shares its block with an event, for clients that ignore a
  # block without one. Varnish can't delay the response.
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
