#!/bin/sh
# BeforeInstall: what the shop needs must be here before anything is changed.
set -eu
. "$(dirname "$0")/common.sh"

if ! command -v python3 >/dev/null; then
    echo "python3 is missing on $(uname -n); the shop is written in it" >&2
    exit 1
fi
mkdir -p "$SHOP_STATE"
echo "$(uname -n) is ready for deployment $DEPLOYMENT_ID"
