#!/bin/sh
# Airflow 3.3.2: *Reparse Dag* (PUT /api/v2/parseDagFile) is lost when the DAG processor reads that file at the moment.
# The request is taken off its table, nothing is logged, and the file is not read again: what was changed meanwhile is
# only seen when `min_file_process_interval` is over. The same request beside an idle processor works in a second.
#
# Seen on 2026-11-29, Python 3.11, SQLite (times that the file was read):
#     asked while it was read:  1
#     asked while nothing was:  2
# Cause: the manager puts the file first in its queue, takes it out again, and skips a file that has a process already,
# without putting it back.
set -eu

folder=$(mktemp -d)
processor=
trap '[ -z "$processor" ] || kill -KILL "$processor" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install apache-airflow==3.3.2

export AIRFLOW_HOME="$folder/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL=3600 AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL=3600
mkdir -p "$AIRFLOW_HOME/dags"
# A DAG file that says when it is read, and takes as long as a large one.
cat >"$AIRFLOW_HOME/dags/slow.py" <<'PYTHON'
import pathlib, time

from airflow.sdk import DAG

here = pathlib.Path(__file__).parents[1]
with (here / "begun").open("a") as reads:
    reads.write("x")
time.sleep(10)
with (here / "done").open("a") as reads:
    reads.write("x")
DAG("slow")
PYTHON

# What the API's route writes.
cat >"$folder/ask.py" <<'PYTHON'
import sqlalchemy as sa
from airflow.models.dagbag import DagPriorityParsingRequest
from airflow.utils.session import create_session
import sys

with create_session() as session:
    if sys.argv[1] == "ask":
        session.add(DagPriorityParsingRequest("dags-folder", "slow.py"))
    else:
        print(session.scalar(sa.select(sa.func.count()).select_from(DagPriorityParsingRequest)))
PYTHON
ask() { "$folder/venv/bin/python" "$folder/ask.py" "$1" 2>/dev/null | tail -n 1; }

# reads FILE: how often the DAG file has come so far.
reads() { if [ -e "$AIRFLOW_HOME/$1" ]; then wc -c <"$AIRFLOW_HOME/$1" | tr -d ' '; else echo 0; fi; }

# until SECONDS COMMAND...: wait for it.
until_() {
    left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 1
    done
}
has() { [ "$(reads "$1")" -ge "$2" ]; }
taken() { [ "$(ask count)" = 0 ]; }

"$folder/venv/bin/airflow" db migrate >/dev/null 2>&1
"$folder/venv/bin/airflow" dag-processor >"$folder/log" 2>&1 &
processor=$!
until_ 120 has begun 1
ask ask
until_ 60 taken
until_ 60 has done 1
# As long as it takes to read it twice more.
until_ 25 has begun 2 || true
busy=$(reads begun)
ask ask
until_ 60 has begun $((busy + 1)) || true
idle=$(reads begun)
echo "asked while it was read:  $busy"
echo "asked while nothing was:  $idle"
if [ "$busy" -ne 1 ] || [ "$idle" -ne 2 ]; then
    echo 'this has changed' >&2
    exit 1
fi
