#!/bin/sh
# Airflow 3.3.2: a triggerer takes at most 4 KiB of its triggers' log lines in each round of its main loop, however much
# there is. A round also asks the database for triggers, events and its heartbeat, so the slower the database, the slower
# the log. What a trigger logs beyond that waits in a socket; when that is full, the next call of the logger blocks, and
# with it the event loop of all triggers in that triggerer.
#
# Seen on 2026-11-30, Python 3.11, SQLite, 20,000 short lines logged by a task, and then by a trigger that yields after each:
#     in the task:     4.0 s
#     in the trigger:  11.0 s, the event loop still for up to 133 ms
# Beside other work, and so with slower rounds, it was 11.7 s and 51.5 s.
# Cause: the supervisor's reader of that socket calls recv once, with a buffer of 4096 bytes, per ready event; the loop
# handles the events of one select and goes on to the database. A task's own supervisor has the same reader, but
# nothing else in its loop.
set -eu

folder=$(mktemp -d)
standalone=
trap '[ -z "$standalone" ] || kill -s KILL -- "-$standalone" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install apache-airflow==3.3.2

export PATH="$folder/venv/bin:$PATH"
export AIRFLOW_HOME="$folder/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__API__PORT=18080 AIRFLOW__CORE__EXECUTION_API_SERVER_URL=http://127.0.0.1:18080/execution/
export AIRFLOW__WORKERS__EXECUTION_API_RETRIES=20
export AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=18794 AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=False PYTHONPATH="$folder/lib"
mkdir -p "$AIRFLOW_HOME/dags" "$folder/lib"

cat >"$folder/lib/chatty.py" <<'PYTHON'
import asyncio
import json
import os
import pathlib
import time

from airflow.triggers.base import BaseTrigger, TriggerEvent

LINES = 20_000
FILE = pathlib.Path(os.environ["AIRFLOW_HOME"], "seen")


def tell(**seen):
    with FILE.open("a") as file:
        file.write(json.dumps(seen) + "\n")


class Chatty(BaseTrigger):
    def serialize(self):
        return "chatty.Chatty", {}

    async def run(self):
        begin = last = time.monotonic()
        longest = 0.0
        for number in range(LINES):
            self.log.info("line %d", number)
            await asyncio.sleep(0)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        tell(by="trigger", seconds=last - begin, longest=longest)
        yield TriggerEvent("done")
PYTHON

cat >"$AIRFLOW_HOME/dags/chatty_dag.py" <<'PYTHON'
import time

from airflow.sdk import DAG, BaseOperator

import chatty


class Wait(BaseOperator):
    def execute(self, context):
        begin = time.monotonic()
        for number in range(chatty.LINES):
            self.log.info("line %d", number)
        chatty.tell(by="task", seconds=time.monotonic() - begin)
        self.defer(trigger=chatty.Chatty(), method_name="end")

    def end(self, context, event):
        pass


with DAG("chatty", schedule="@once"):
    Wait(task_id="wait")
PYTHON

cat >"$folder/look.py" <<'PYTHON'
import json
import os
import pathlib
import sys
import time

seen = pathlib.Path(os.environ["AIRFLOW_HOME"], "seen")
end = time.monotonic() + 300
while not seen.exists() or "trigger" not in seen.read_text():
    if time.monotonic() > end:
        sys.exit("not within 300 s: the trigger to have logged")
    time.sleep(0.2)
task, trigger = map(json.loads, seen.read_text().splitlines())
print(f"#     in the task:     {task['seconds']:.1f} s")
print(f"#     in the trigger:  {trigger['seconds']:.1f} s, the event loop still for up to {trigger['longest'] * 1000:.0f} ms")
sys.exit(0 if trigger["seconds"] > 2 * task["seconds"] and trigger["longest"] > 0.02 else "this has changed")
PYTHON

setsid airflow standalone >"$folder/log" 2>&1 &
standalone=$!
python3 "$folder/look.py"
