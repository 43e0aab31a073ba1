#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a command with a database server of its own, whose URL is in STORE; not in CI.
#
#   database.sh postgresql|mariadb COMMAND...
#
# Needs Debian's postgresql or mariadb-server-core, and psycopg2 or PyMySQL.
set -eu
kind=$1
shift
dir=$(mktemp -d /tmp/gn2-database-XXXXXX)

as() { # as USER COMMAND...: servers refuse to run as root
    user=$1
    shift
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid="$user" --regid="$user" --clear-groups "$@"
    else "$@"; fi
}

postgresql() {
    bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
    [ "$(id -u)" != 0 ] || chown postgres:postgres "$dir"
    as postgres "$bin/initdb" -D "$dir/data" -A trust -U gn2 >"$dir.log"
    as postgres "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w \
        -o "-c listen_addresses='' -k $dir" start >>"$dir.log"
    STORE="postgresql+psycopg2://gn2@/postgres?host=$dir"
}

postgresql_stop() {
    as postgres "$bin/pg_ctl" -D "$dir/data" -m immediate stop >>"$dir.log"
}

mariadb() {
    me=$(id -un)
    mariadb-install-db --no-defaults --user="$me" --datadir="$dir/data" \
        --auth-root-authentication-method=normal >"$dir.log" 2>&1
    mariadbd --no-defaults --user="$me" --datadir="$dir/data" --socket="$dir/socket" \
        --skip-networking --pid-file="$dir/pid" --init-file=/dev/stdin \
        >>"$dir.log" 2>&1 <<EOF &
create database gn2;
EOF
    server=$!
    # its tables are there before it listens
    for _ in $(seq 300); do [ -S "$dir/socket" ] && break; sleep 0.2; done
    STORE="mysql+pymysql://root@localhost/gn2?unix_socket=$dir/socket"
}

mariadb_stop() { kill "$server"; wait "$server" || true; }

"$kind"
trap '"${kind}_stop"; rm -rf "$dir" "$dir.log"' EXIT
export STORE
"$@"
