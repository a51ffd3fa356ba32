#!/bin/sh
# A walk through the command line: `make demo`. The store it makes is removed at the end.
set -eu

cd "$(dirname "$0")/.."
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
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
echo 'One of those in full:'
# A stored event starts with its id: {"id":"01…
id=$(audit list --outcome denied --order desc --limit 1 --format jsonl | cut -c 8-33)
run get "$id" --pretty

echo
echo 'Every record of the store, verified:'
run fsck --format table
