#!/usr/bin/env python3
"""Follows the feed of Silo and prints every event as a line of JSON. It resumes after a lost connection.

    SILO_URL=http://127.0.0.1:8080 SILO_TOKEN=silo_… python3 follow.py [bookmark]

Without SILO_TOKEN it signs in with SILO_USERNAME and SILO_PASSWORD, and creates a token for itself. If a file
`bookmark` is named, it stores the last id there and resumes after it when it is started again. It needs
Python 3.8 or newer and the standard library only.
"""

import http.client
import http.cookiejar
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# Timeout of a read, in seconds. By default the server sends a heartbeat every 30 s: a connection that is
# silent for three times as long is dead.
SILENCE_S = 90
# Maximum number of attempts in a row that receive no event.
TRIES = 10


class NoLiveUpdates(Exception):
    """The server has no feed (404). A program should work without it, and not try again."""


def sign_in(url, username, password):
    """Signs in by the form, as a browser does, and creates an API token that is valid for 30 days."""
    cookies = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    form = urllib.parse.urlencode({"username": username, "password": password}).encode()
    try:
        opener.open(url + "/login", form).close()
    except urllib.error.HTTPError as error:
        # The sign-in redirects to a page. An error of that page does not matter here.
        if error.geturl() == url + "/login":
            raise
    with opener.open(url + "/api/auth/me") as response:
        print("signed in as", json.load(response)["username"], file=sys.stderr)
    wanted = json.dumps({"name": "follow.py", "expires_in_days": 30, "role": "viewer", "keep": True}).encode()
    request = urllib.request.Request(url + "/api/auth/tokens", wanted, {"Content-Type": "application/json"})
    with opener.open(request) as response:
        return json.load(response)["token"]


def read_events(lines):
    """Parses a stream (WHATWG HTML, section 9.2.6) and yields its events as (id, type, data)."""
    last_id, event_type, data = None, "message", []
    for line in lines:
        field, _, value = line.decode("utf-8").rstrip("\r\n").partition(":")
        value = value[1:] if value.startswith(" ") else value
        if field == "id":
            last_id = value
        elif field == "event":
            event_type = value
        elif field == "data":
            data.append(value)
        elif field == "" and value == "" and data:
            yield last_id, event_type, json.loads("\n".join(data))
            event_type, data = "message", []


def connect(url, token, last_id):
    headers = {"Accept": "text/event-stream", "Authorization": "Bearer " + token}
    if last_id:
        headers["Last-Event-ID"] = last_id
    request = urllib.request.Request(url + "/api/events", headers=headers)
    return urllib.request.urlopen(request, timeout=SILENCE_S)


def follow(url, token, last_id=None):
    """Yields every event once and in order. Ends after TRIES attempts in a row without an event.

    Raises NoLiveUpdates if the server has no feed, and HTTPError if the token is no longer valid.
    """
    tries = 0
    while tries < TRIES:
        if tries:
            time.sleep(min(2 ** (tries - 1), 60))
        tries += 1
        try:
            with connect(url, token, last_id) as response:
                for event_id, event_type, data in read_events(response):
                    yield event_id, event_type, data
                    if event_id:
                        last_id, tries = event_id, 1
        except urllib.error.HTTPError as error:
            # An older server, without a feed.
            if error.code == 404:
                raise NoLiveUpdates("no live updates here") from error
            # The token has expired or was revoked.
            if error.code in (401, 403):
                raise
            print("not served:", error, file=sys.stderr)
        except (OSError, http.client.HTTPException) as error:
            print("connection lost:", error, file=sys.stderr)


class SaveGuard:
    """Decides whether a program may offer to save: only while the mode of the server is normal.

    It calls `show` with True or False at each change, to enable or disable the save buttons.
    """

    def __init__(self, show):
        self.show = show
        self.may_save = None

    def event(self, event_type, data):
        if event_type == "server.state":
            may_save = data["mode"] == "normal"
            if may_save != self.may_save:
                self.may_save = may_save
                self.show(may_save)


def load(bookmark):
    if bookmark and os.path.exists(bookmark):
        with open(bookmark, encoding="utf-8") as file:
            return file.read().strip()
    return None


def save(bookmark, last_id):
    """Replaces the file atomically, because the server would not recognise an incomplete id."""
    with open(bookmark + ".new", "w", encoding="utf-8") as file:
        file.write(last_id)
    os.replace(bookmark + ".new", bookmark)


def main():
    url = os.environ["SILO_URL"].rstrip("/")
    token = os.environ.get("SILO_TOKEN")
    if not token:
        token = sign_in(url, os.environ["SILO_USERNAME"], os.environ["SILO_PASSWORD"])
    bookmark = sys.argv[1] if len(sys.argv) > 1 else None

    def report(may_save):
        print("saving is", "on" if may_save else "off", file=sys.stderr, flush=True)

    guard = SaveGuard(report)
    try:
        for event_id, event_type, data in follow(url, token, load(bookmark)):
            guard.event(event_type, data)
            print(json.dumps({"id": event_id, "type": event_type, "data": data}), flush=True)
            if bookmark and event_id:
                save(bookmark, event_id)
    except NoLiveUpdates as error:
        sys.exit(str(error))
    sys.exit("no connection after %d attempts" % TRIES)


if __name__ == "__main__":
    main()
