#!/bin/sh
# Airflow 3.3.2 with provider standard 1.21.0: a task that skips others keeps nothing of what it returns. A
# BranchPythonOperator that chooses one of two tasks, and a ShortCircuitOperator whose condition is false, are both
# `success`, and both have no XCom `return_value`; the one whose condition is true has. `xcom_pull(task_ids="choose")` in
# the chosen task gives None, where the operators' own code returns the choice as its last line.
#
# Seen on 2026-12-01, Python 3.11, SQLite:
#     choose: success, returned nothing
#     closed: success, returned nothing
#     open: success, returned True
#     left: success, and it has pulled None from choose
# Cause: skipping raises an exception, which ends `execute` before its `return`; Airflow takes that for success, and has
# no value to store. What a task wants to leave behind it has to push itself, before it skips.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
    apache-airflow==3.3.2 apache-airflow-providers-standard==1.21.0

export AIRFLOW_HOME="$folder/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False
mkdir -p "$AIRFLOW_HOME/dags"
"$folder/venv/bin/airflow" db migrate >"$folder/log" 2>&1

cat >"$AIRFLOW_HOME/dags/returning.py" <<'PYTHON'
import os
import pathlib

from airflow.sdk import DAG, task

PULLED = pathlib.Path(os.environ["AIRFLOW_HOME"], "pulled")

with DAG("returning", schedule=None) as dag:

    @task.branch
    def choose():
        return "left"

    @task.short_circuit(task_id="closed")
    def is_closed():
        return False

    @task.short_circuit(task_id="open")
    def is_open():
        return True

    @task
    def left(ti=None):
        PULLED.write_text(repr(ti.xcom_pull(task_ids="choose")))

    @task
    def right():
        pass

    @task
    def after():
        pass

    choose() >> [left(), right()]
    is_closed() >> after()
    is_open()

if __name__ == "__main__":
    dag.test()
PYTHON
"$folder/venv/bin/python" "$AIRFLOW_HOME/dags/returning.py" >>"$folder/log" 2>&1

cat >"$folder/look.py" <<'PYTHON'
import os
import pathlib
import sqlite3
import sys

home = pathlib.Path(os.environ["AIRFLOW_HOME"])
database = sqlite3.connect(home / "airflow.db")
states = dict(database.execute("SELECT task_id, state FROM task_instance WHERE dag_id = 'returning'"))
returned = dict(database.execute("SELECT task_id, value FROM xcom WHERE key = 'return_value'"))
found = [(each, states[each], returned.get(each)) for each in ("choose", "closed", "open")]
for name, state, value in found:
    print(f"{name}: {state}, returned {'nothing' if value is None else 'True'}")
pulled = (home / "pulled").read_text()
print(f"left: {states['left']}, and it has pulled {pulled} from choose")
expected = [("choose", "success", True), ("closed", "success", True), ("open", "success", False)]
sys.exit([(name, state, value is None) for name, state, value in found] != expected or pulled != "None")
PYTHON
"$folder/venv/bin/python" "$folder/look.py" || { tail -n 20 "$folder/log" >&2; exit 1; }
