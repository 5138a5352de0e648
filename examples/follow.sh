#!/bin/sh
# Follows the feed of Silo with curl: prints the stream as it arrives, and resumes after a lost connection.
#
#   SILO_URL=http://127.0.0.1:8080 SILO_TOKEN=silo_… sh follow.sh [bookmark]
#
# If a file `bookmark` is named, the last id is stored there, and the next run resumes after it.

bookmark=${1:-$(mktemp)}

while :; do
  last_id=$(cat "$bookmark" 2>/dev/null)
  # The token is passed on the standard input, because every user of the machine can read arguments.
  printf 'header = "Authorization: Bearer %s"\n' "$SILO_TOKEN" |
    curl --config - --no-buffer --silent --show-error --fail --speed-limit 1 --speed-time 90 \
      --header 'Accept: text/event-stream' ${last_id:+--header "Last-Event-ID: $last_id"} \
      "$SILO_URL/api/events" |
    while IFS= read -r line; do
      printf '%s\n' "$line"
      case $line in
        'id: '*) id=${line#id: } ;;
        '') [ -z "$id" ] || printf '%s' "$id" >"$bookmark" ;;
      esac
    done
  sleep 2
done
