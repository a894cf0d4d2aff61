"""For all tests: signals as they are at a terminal, wherever the run was started from; an Airflow home of their own."""

from __future__ import annotations

import os
import signal
import tempfile

# Airflow takes its home, and the database in it, from where it is imported first. Whichever test that is, nobody's own
# home is touched, and nothing is there that an earlier run has left.
if "AIRFLOW_HOME" not in os.environ:
    _home = tempfile.TemporaryDirectory(prefix="gantry-tests-airflow-", ignore_cleanup_errors=True)
    os.environ["AIRFLOW_HOME"] = _home.name

# Asked to end, a run cleans up like one that was interrupted at the keyboard.
for _number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(_number, signal.default_int_handler)

# What runs in the background of a script ignores these, and so would all that the tests start.
for _number in (signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)
