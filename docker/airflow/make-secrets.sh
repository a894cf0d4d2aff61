#!/bin/sh
# Makes the files that docker/compose.yaml takes its secrets from. A file that is there already stays as it is.
#
# usage: make-secrets.sh [FOLDER]     (default: docker/secrets)
set -eu

FOLDER=${1:-$(cd "$(dirname "$0")/.." && pwd)/secrets}

# put NAME: standard input, unless there is such a file. Without a newline at its end: Airflow takes all that a command prints.
put() {
    if [ -e "$FOLDER/$1" ]; then
        cat >/dev/null
    else
        cat >"$FOLDER/$1"
    fi
}
# Hexadecimal, so that it may stand in a URL as it is.
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
content() { cat "$FOLDER/$1"; }

# Who is let into the folder may read the files: users inside of containers have numbers of their own.
mkdir -p "$FOLDER"
chmod 0700 "$FOLDER"
umask 022
random | put postgres_password
random | put redis_password
random | put api_secret_key
random | put jwt_secret
random | put admin_password
# 32 bytes in the alphabet for URLs, as Fernet takes them.
head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' | put fernet_key
printf %s "postgresql+psycopg2://airflow:$(content postgres_password)@postgres:5432/airflow" | put sql_alchemy_conn
printf %s "redis://:$(content redis_password)@redis:6379/0" | put celery_broker_url
printf %s "redis://:$(content redis_password)@redis:6379/1" | put celery_result_backend
# Airflow's connections by name, as docs/connections.md describes them. Only the API server and the triggerers read them.
echo '{}' | put connections.json
