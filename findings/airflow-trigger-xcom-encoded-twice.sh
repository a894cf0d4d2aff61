#!/bin/sh
# Airflow 3.3.2: an XCom of a trigger that ends its task itself (`TaskSuccessEvent(xcoms={...})`) is encoded twice. The next
# task pulls a text of JSON where the same value, pushed or returned by a worker, comes back as what it was. So a task
# that may end in a worker or in a triggerer gives the tasks behind it two types, and only the slow runs show it.
#
# Seen on 2026-11-30, Python 3.11, SQLite; what the next task pulls, as Python writes it:
#     of a worker:   {'servers': ['db-1'], 'count': 2}
#     of a trigger:  '{"servers": ["db-1"], "count": 2}'
# Cause: the triggerer's code stores the event's values by `XComModel.set`, which turns each into text before the column,
# whose type is JSON, does so again. The API that stores a worker's values leaves the first step out.
set -eu

folder=$(mktemp -d)
standalone=
trap '[ -z "$standalone" ] || kill -s KILL -- "-$standalone" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install apache-airflow==3.3.2

export PATH="$folder/venv/bin:$PATH"
export AIRFLOW_HOME="$folder/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__API__PORT=18081 AIRFLOW__CORE__EXECUTION_API_SERVER_URL=http://127.0.0.1:18081/execution/
export AIRFLOW__WORKERS__EXECUTION_API_RETRIES=20
export AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=18795 AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=False PYTHONPATH="$folder/lib"
mkdir -p "$AIRFLOW_HOME/dags" "$folder/lib"

cat >"$folder/lib/ending.py" <<'PYTHON'
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent

VALUE = {"servers": ["db-1"], "count": 2}


class Ending(BaseTrigger):
    def serialize(self):
        return "ending.Ending", {}

    async def run(self):
        yield TaskSuccessEvent(xcoms={"return_value": VALUE})
PYTHON

cat >"$AIRFLOW_HOME/dags/ending_dag.py" <<'PYTHON'
import json
import os
import pathlib

from airflow.sdk import DAG, BaseOperator

import ending


class InWorker(BaseOperator):
    def execute(self, context):
        return ending.VALUE


class InTrigger(BaseOperator):
    def execute(self, context):
        self.defer(trigger=ending.Ending(), method_name="execute")


class Pull(BaseOperator):
    def execute(self, context):
        pulled = [context["ti"].xcom_pull(task_ids=each) for each in ("in_worker", "in_trigger")]
        file = pathlib.Path(os.environ["AIRFLOW_HOME"], "pulled")
        file.with_suffix(".new").write_text(json.dumps(pulled))
        file.with_suffix(".new").rename(file)


with DAG("ending", schedule="@once"):
    [InWorker(task_id="in_worker"), InTrigger(task_id="in_trigger")] >> Pull(task_id="pull")
PYTHON

cat >"$folder/look.py" <<'PYTHON'
import json
import os
import pathlib
import sys
import time

import ending

file = pathlib.Path(os.environ["AIRFLOW_HOME"], "pulled")
end = time.monotonic() + 600
while not file.exists():
    if time.monotonic() > end:
        sys.exit("not within 600 s: the values to be pulled")
    time.sleep(0.2)
worker, trigger = json.loads(file.read_text())
print(f"#     of a worker:   {worker!r}")
print(f"#     of a trigger:  {trigger!r}")
twice = isinstance(trigger, str) and json.loads(trigger) == worker == ending.VALUE
sys.exit(0 if twice else "this has changed")
PYTHON

setsid airflow standalone >"$folder/log" 2>&1 &
standalone=$!
"$folder/venv/bin/python" "$folder/look.py"
