"""For all tests: signals as they are at a terminal, wherever the run was started from."""

from __future__ import annotations

import signal

# Asked to end, a run cleans up like one that was interrupted at the keyboard.
for _number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(_number, signal.default_int_handler)

# What runs in the background of a script ignores these, and so would all that the tests start.
for _number in (signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)
