#!/bin/sh
# The cluster's PostgreSQL, inside its machine: makes the database `airflow` at its first start, as the official image does.
set -eu

BIN=$(dirname "$(find /usr/lib/postgresql -name initdb | sort -V | tail -n 1)")
DATA=/opt/airflow/data
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }

if [ ! -e "$DATA/made" ]; then
    rm -rf "$DATA"
    install -d -o postgres -g postgres -m 0700 "$DATA"
    as_postgres "$BIN/initdb" --pgdata "$DATA" --auth-local peer --auth-host scram-sha-256 --no-sync >/dev/null
    {
        echo "listen_addresses = '*'"
        echo 'max_connections = 300'
        echo "unix_socket_directories = ''"
    } >>"$DATA/postgresql.auto.conf"
    echo 'host all all all scram-sha-256' >>"$DATA/pg_hba.conf"
    # By standard input: arguments are for everybody to see.
    {
        echo "CREATE ROLE airflow LOGIN PASSWORD '$(cat /run/secrets/postgres_password)'"
        echo 'CREATE DATABASE airflow OWNER airflow'
    } | as_postgres "$BIN/postgres" --single -D "$DATA" postgres >/dev/null
    touch "$DATA/made"
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups "$BIN/postgres" -D "$DATA"
