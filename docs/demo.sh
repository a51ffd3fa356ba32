#!/bin/sh
# A walk through the command line and the server: `make demo`. In a terminal it ends with the store served, and life in it
# (docs/live.sh), until Ctrl-C. The store it makes is removed at the end.
set -eu

cd "$(dirname "$0")/.."
store=$(mktemp -d)
started=
# Ends what was started here.
stop() {
    for process in $started; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    started=
}
finish() {
    stop
    rm -rf "$store"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

export AUDIT_DATA="$store/data"

# Print the command, then what it prints.
run() {
    printf '\n$ audit'
    for word in "$@"; do
        printf ' %s' "$word"
    done
    printf '\n'
    audit "$@"
}

echo 'A new store, and 2,122 AWS CloudTrail records from an attack simulation:'
printf '\n$ export AUDIT_DATA=%s\n' "$AUDIT_DATA"
run init --format table
run ingest --preset cloudtrail tests/data/cloudtrail.jsonl.gz

echo
echo 'The same again appends nothing, since each record has its own key:'
run ingest --preset cloudtrail tests/data/cloudtrail.jsonl.gz

echo
echo 'The topics, with their counts:'
run topics --depth 2 --format table

echo
echo 'A page of one topic, newest first:'
run list --topic aws/iam --order desc --limit 10 --format table

echo
echo 'Everything that was denied:'
run list --outcome denied --all --format table

echo
echo 'The same by service, a bar for each minute:'
run metrics get count --outcome denied --group-by topics.0.1 --time occurred \
    --seek 2023-07-10T11:40:00Z --seek-end 2023-07-10T12:40:00Z --window 1m --format table

echo
echo 'One of those in full:'
# A stored event starts with its id: {"id":"01…
id=$(audit list --outcome denied --order desc --limit 1 --format jsonl | cut -c 8-33)
run get "$id" --pretty

echo
echo 'Every record of the store, verified:'
run fsck --format table

# Print the command, then run it beside this script, its output in a file of that name.
beside() {
    name=$1
    shift
    printf '\n$ audit'
    printf ' %s' "$@"
    printf ' &\n'
    audit "$@" >"$store/$name" 2>"$store/$name.log" &
    started="$! $started"
}

# Wait until the file of that name has so many lines.
lines() {
    tries=0
    until [ "$(cat "$store/$1" 2>/dev/null | wc -l)" -ge "$2" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ]; then
            cat "$store/$1.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

echo
echo 'A key that vouches for the log: its secret half stays outside the store, its public half goes to who is to check.'
run key new example.com/demo --to "$store/secret.key"

echo
echo 'The same store, served, its newest checkpoint kept outside of it too:'
beside serve serve --listen 127.0.0.1:0 --key "$store/secret.key" --checkpoint-file "$store/checkpoint"
lines serve 1
http=$(head -n 1 "$store/serve")
cat "$store/serve"
unset AUDIT_DATA
export AUDIT_URL="ws://${http#http://}/rpc"
printf '\n$ unset AUDIT_DATA; export AUDIT_URL=%s\n' "$AUDIT_URL"
run info --format table

echo
echo 'What goes over the wire, by a client of thirty lines (docs/exchange.py):'
printf '\n$ python docs/exchange.py %s\n' "$AUDIT_URL"
python docs/exchange.py "$AUDIT_URL"

echo
echo 'A tail, and an append through the server:'
beside tail tail -f --topic node --seek now --cursor-file "$store/cursor"
# It has its place in the log once that is written.
lines cursor 1
run append --topic node/connection --action connection.closed --actor user:u-7:Ada --outcome success
lines tail 1
echo
echo 'The tail printed:'
cat "$store/tail"

if command -v curl >/dev/null; then
    echo
    echo 'And over plain HTTP:'
    printf '\n$ curl %s\n' "'$http/v1/events?topic=node&order=desc&limit=1'"
    curl -sS "$http/v1/events?topic=node&order=desc&limit=1"
    echo
fi

echo
if [ -f src/audit/server/pages/index.html ]; then
    echo "The same for people, in a browser, while this runs: $http/?topic=aws&outcome=denied"
else
    echo 'The pages for a browser are not built: make dashboard, which needs Node 20.'
fi

echo
echo 'That somebody was denied something, with its proof, in one file; checked without the log, by the public key alone:'
printf '\n$ audit proof %s >event.tlog-proof\n' "$id"
audit proof "$id" >"$store/event.tlog-proof"
tail -n 5 "$store/event.tlog-proof"
run verify "$store/event.tlog-proof" --key "$store/secret.key.pub"

echo
echo 'Now the server is stopped, and an attacker makes a store in which nobody was ever denied anything. All of it fits:'
stop
unset AUDIT_URL
cp -R "$store/data" "$store/copy"
printf '\n$ python docs/tamper.py copy %s %s\n' "'\"denied\"'" "'\"success\"'"
python docs/tamper.py "$store/copy" '"denied"' '"success"'
run fsck --data "$store/copy" --format table

# Print the command, and what it says; it must fail.
caught() {
    if run "$@" 2>&1; then
        echo 'not caught' >&2
        exit 1
    fi
}

echo
echo 'But not with what was signed before:'
caught checkpoint --data "$store/copy" --key "$store/secret.key" --checkpoint-file "$store/checkpoint"
run backup --data "$store/copy" --to "$store/copy.backup" --format table
caught verify "$store/copy.backup" --key "$store/secret.key.pub" --checkpoint "$store/checkpoint"

echo
echo 'The store itself is what it was:'
run checkpoint --data "$store/data" --key "$store/secret.key" --checkpoint-file "$store/checkpoint"

# A terminal has somebody in front of it who may want to look.
if [ -t 0 ] && [ -t 1 ]; then
    echo
    echo 'Served once more, with nodes that live:'
    AUDIT_DATA="$store/data" sh docs/live.sh --key "$store/secret.key" --checkpoint-file "$store/checkpoint"
fi
