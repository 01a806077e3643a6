#!/bin/sh
# ApplicationStop: close the shop. Runs from the release that is installed, before the new one is downloaded.
set -eu
. "$(dirname "$0")/common.sh"

if ! pid=$(running_pid); then
    echo "The shop is not open; nothing to stop."
    rm -f "$pid_file"
    exit 0
fi
echo "Stopping the shop, process $pid"
kill "$pid" 2>/dev/null || true
tries=0
while running_pid >/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -eq 100 ]; then
        echo "Process $pid did not stop within 10 seconds; killing it" >&2
        kill -9 "$pid" 2>/dev/null || true
    fi
    if [ "$tries" -gt 120 ]; then
        echo "Process $pid cannot be stopped" >&2
        exit 1
    fi
    sleep 0.1
done
rm -f "$pid_file"
