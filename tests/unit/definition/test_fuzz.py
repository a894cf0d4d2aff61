"""Whatever stands in the files: a definition, or a refusal with its place. No traceback, no hang, no full memory."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

CASES = int(os.environ.get("GANTRY_FUZZ_CASES", "800"))
"""The same ones each time, so more of them find something new only after a change: set the variable then."""


def test_hundreds_of_broken_definitions_are_refused_quickly_and_in_words(tmp_path: pathlib.Path) -> None:
    fuzz = pathlib.Path(__file__).with_name("fuzz.py")
    run = subprocess.run(
        [sys.executable, str(fuzz), str(tmp_path), str(CASES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert run.returncode == 0, run.stderr[-5000:]
    saw = json.loads(run.stdout.splitlines()[-1])
    assert saw["good"] + saw["refused"] >= CASES
    # Otherwise the cases are not near enough to real definitions to reach what lies behind the first check.
    assert saw["good"] > CASES / 25
    assert saw["refused"] > CASES / 2
    assert saw["megabytes"] < 200, saw
    # A definition takes a millisecond or two; a machine may be busy.
    assert saw["slowest"] < 2, saw
    assert saw["slowest_bomb"] < 20, saw
