#!/bin/sh
# ValidateService: the release that was installed must answer on this host, within 15 seconds.
set -eu
. "$(dirname "$0")/common.sh"

wanted=$(cat "$SHOP_HOME/VERSION")
ask() {
    python3 -c '
import sys, urllib.request
open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
try:
    print(open(sys.argv[1], timeout=2).read().decode().strip())
except OSError as error:
    sys.exit(str(error))
' "http://$SHOP_ADDRESS/version" 2>&1
}

deadline=$(($(date +%s) + 15))
until answer=$(ask) && [ "$answer" = "$wanted" ]; do
    if ! running_pid >/dev/null; then
        echo "Release $wanted started and ended again. The end of $log_file:" >&2
        tail -n 6 "$log_file" >&2
        exit 1
    fi
    if [ "$(date +%s)" -ge "$deadline" ]; then
        echo "http://$SHOP_ADDRESS/version does not answer $wanted but: $answer. The end of $log_file:" >&2
        tail -n 6 "$log_file" >&2
        exit 1
    fi
    sleep 0.1
done
echo "Release $answer answers on http://$SHOP_ADDRESS"
