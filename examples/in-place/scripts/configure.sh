#!/bin/sh
# AfterInstall: what the release needs to know of this host.
set -eu
. "$(dirname "$0")/common.sh"

printf 'host=%s\naddress=%s\ndeployment=%s\n' "$(uname -n)" "$SHOP_ADDRESS" "$DEPLOYMENT_ID" >"$SHOP_STATE/host.conf"
echo "Release $(cat "$SHOP_HOME/VERSION") will serve on $SHOP_ADDRESS"
