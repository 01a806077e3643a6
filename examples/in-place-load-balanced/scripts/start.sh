#!/bin/sh
# ApplicationStart: open the shop. The daemon gets files for its output: were it to keep this script's, the agent
# would wait for it until the hook's timeout.
set -eu
setsid python3 /opt/shop/shop.py </dev/null >>/var/log/shop.log 2>&1 &
echo "$!" >/run/shop.pid
echo "Started release $(cat /opt/shop/VERSION) as process $!"
