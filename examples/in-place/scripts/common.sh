# Where the shop is on a host, for the scripts beside this file. Not a hook itself.
SHOP_HOME=${SHOP_HOME:-/opt/shop}
# What stays from one release to the next: the pid file and the log.
SHOP_STATE=${SHOP_STATE:-/var/lib/shop}
# One line, HOST or HOST:PORT: the address this host serves on.
SHOP_ADDRESS_FILE=${SHOP_ADDRESS_FILE:-/etc/shop.address}

if [ -r "$SHOP_ADDRESS_FILE" ]; then
    read -r SHOP_ADDRESS <"$SHOP_ADDRESS_FILE"
fi
SHOP_ADDRESS=${SHOP_ADDRESS:-127.0.0.1:8080}
case $SHOP_ADDRESS in *:*) ;; *) SHOP_ADDRESS=$SHOP_ADDRESS:8080 ;; esac
export SHOP_ADDRESS

pid_file=$SHOP_STATE/shop.pid
log_file=$SHOP_STATE/shop.log

# The shop's process, if it runs. A number left over from before a restart may be somebody else's by now.
running_pid() {
    [ -r "$pid_file" ] || return 1
    read -r pid <"$pid_file"
    grep -qa shop.py "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}
