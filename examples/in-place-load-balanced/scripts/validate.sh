#!/bin/sh
# ValidateService: the release that was installed must answer on this host, within 15 seconds. AllowTraffic comes after.
set -eu
exec python3 - "$(cat /opt/shop/VERSION)" <<'PYTHON'
import json, socket, sys, time, urllib.request

url = f"http://{socket.gethostbyname(socket.gethostname())}:8080/"
wanted, found = sys.argv[1], ""
open_ = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
for _ in range(150):
    try:
        found = json.load(open_(url, timeout=2))["release"]
    except OSError as error:
        found = error
    if found == wanted:
        sys.exit(print(f"Release {wanted} answers on {url}"))
    time.sleep(0.1)
sys.exit(f"{url} does not answer {wanted} but: {found}")
PYTHON
