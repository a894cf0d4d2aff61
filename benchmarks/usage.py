"""Runs a command and prints, as JSON, what it has used: it and all processes that it has left behind.

    python benchmarks/usage.py COMMAND [ARG...]

The command's own output goes to standard error. ansible leaves the processes that hold its connections; they are
adopted here, and ended when the command has ended, so that their time counts.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36
"""Of <linux/prctl.h>."""


def main() -> int:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    begun = time.monotonic()
    code = subprocess.run(sys.argv[1:], stdout=sys.stderr, stdin=subprocess.DEVNULL, check=False).returncode
    seconds = time.monotonic() - begun
    _end_the_rest()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024}
        )
    )
    return code


def _end_the_rest() -> None:
    """End what the command has left, and what that leaves, until nothing is left."""
    children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children")
    while left := children.read_text().split():
        for each in left:
            with contextlib.suppress(ProcessLookupError):
                # It may ignore everything else, as its parent may have set it.
                os.kill(int(each), signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.wait()


if __name__ == "__main__":
    sys.exit(main())
