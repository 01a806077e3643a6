#!/bin/sh
# ApplicationStart: open the shop. The daemon gets files for its output: were it to keep this script's, the agent
# would wait for it until the hook's timeout.
set -eu
. "$(dirname "$0")/common.sh"

if pid=$(running_pid); then
    echo "The shop is open already, process $pid; ApplicationStop should have closed it" >&2
    exit 1
fi
setsid python3 "$SHOP_HOME/shop.py" </dev/null >"$log_file" 2>&1 &
echo "$!" >"$pid_file"
echo "Started release $(cat "$SHOP_HOME/VERSION") as process $!"
