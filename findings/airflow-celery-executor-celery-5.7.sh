#!/bin/sh
# Celery 5.7.0 has taken `celery.backends.database.retry` away. apache-airflow-providers-celery 3.26.0 imports it and asks
# for `celery>=5.5.0,<6` only, so a plain installation gets both, pip calls it consistent, and the executor cannot be
# imported: neither schedulers nor workers start. With Celery 5.6 it works.
#
# Seen on 2026-11-30, Python 3.11, apache-airflow 3.3.2, provider 3.26.0:
#     celery 5.7.0: consistent, ImportError: cannot import name 'retry'
#     celery 5.6.x: consistent, imported
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
AIRFLOW_HOME=$folder/airflow
export AIRFLOW_HOME

python3 -m venv "$folder/venv"

# executor CELERY: what pip says of the installation, and what becomes of the import.
executor() {
    "$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
        apache-airflow==3.3.2 apache-airflow-providers-celery==3.26.0 "$1" 2>/dev/null
    if "$folder/venv/bin/pip" --disable-pip-version-check check 2>/dev/null | grep -q 'celery.*requires\|requires.*celery'; then
        printf 'inconsistent, '
    else
        printf 'consistent, '
    fi
    "$folder/venv/bin/python" 2>&1 <<'PYTHON' | tail -n 1
try:
    from airflow.providers.celery.executors import celery_executor_utils
except ImportError as error:
    print("ImportError:", str(error).partition(" from ")[0])
else:
    print("imported")
PYTHON
}

new=$(executor celery==5.7.0)
old=$(executor 'celery>=5.6,<5.7')
echo "celery 5.7.0: $new"
echo "celery 5.6.x: $old"
[ "$new" = "consistent, ImportError: cannot import name 'retry'" ]
[ "$old" = 'consistent, imported' ]
