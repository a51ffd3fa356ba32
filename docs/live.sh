#!/bin/sh
# A served log with something to see, until Ctrl-C: 2,122 CloudTrail records, and synthetic nodes (docs/traffic.py) with
# 90 days behind them whose connections come and go. `make live`; `make demo` ends so in a terminal.
# AUDIT_DATA names a store to serve, which has the records already; without it, one is made, and removed at the end.
set -eu

cd "$(dirname "$0")/.."
own=$(mktemp -d)
started=
finish() {
    for process in $started; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$own"
}
trap finish EXIT
# How it is meant to end.
trap 'exit 0' INT TERM

if [ -z "${AUDIT_DATA:-}" ]; then
    export AUDIT_DATA="$own/data"
    audit init >/dev/null
    audit ingest --preset cloudtrail tests/data/cloudtrail.jsonl.gz >/dev/null
fi

# Run beside this script, its output in a file of that name; return once that has a line.
beside() {
    name=$1
    shift
    "$@" >"$own/$name" 2>"$own/$name.log" &
    process=$!
    started="$process $started"
    tries=0
    until [ -s "$own/$name" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 600 ] || ! kill -0 "$process" 2>/dev/null; then
            cat "$own/$name.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

beside serve audit serve --listen "${AUDIT_LISTEN:-127.0.0.1:0}" "$@"
http=$(head -n 1 "$own/serve")
unset AUDIT_DATA
beside traffic python docs/traffic.py "ws://${http#http://}/rpc"

echo "$(cat "$own/traffic") events of four nodes in 90 days, and more every second, beside the CloudTrail records:"
echo
if [ -f src/audit/server/pages/index.html ]; then
    echo "  $http"
else
    echo "  $http/v1/events/stream?topic=nodes&seek=now"
    echo
    echo 'There are no pages for a browser: make dashboard builds them, and needs Node 20. The command line has the same:'
    echo "  audit tail -f --topic nodes --url ws://${http#http://}"
fi
echo
echo 'Ctrl-C ends it.'
wait
