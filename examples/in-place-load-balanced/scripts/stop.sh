#!/bin/sh
# ApplicationStop: close the shop. BlockTraffic has seen to it that nobody is in it.
set -eu
pid_file=/run/shop.pid
[ -e "$pid_file" ] || exit 0
read -r pid <"$pid_file"
if grep -qa shop.py "/proc/$pid/cmdline" 2>/dev/null; then
    kill "$pid"
    for _ in $(seq 100); do
        [ -e "/proc/$pid" ] || break
        sleep 0.1
    done
fi
rm -f "$pid_file"
echo "Closed"
