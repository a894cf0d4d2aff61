"""The shipped files themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import gantry.agent
from gantry.agent.agent_bundle import ScriptBundle, bundle

SCRIPTS = Path(gantry.agent.__file__).parent / "scripts"


def test_every_script_passes_shellcheck(need: dict[str, str]) -> None:
    files = sorted(str(path) for path in SCRIPTS.glob("*/*"))
    done = subprocess.run(
        [need["shellcheck"], "-x", "-P", "SCRIPTDIR", *files], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


def test_the_bundle_holds_every_shipped_file_with_its_mode() -> None:
    files = {file.path: file for file in bundle().files}
    assert set(files) == {str(path.relative_to(SCRIPTS)) for path in SCRIPTS.glob("*/*")}
    assert files["bin/startService"].mode == 0o750
    assert files["lib/agent.sh"].mode == 0o640
    assert files["bin/job"].content == (SCRIPTS / "bin/job").read_bytes()


def test_the_version_changes_with_any_file() -> None:
    assert bundle().version != ScriptBundle(bundle().files[1:]).version
    assert bundle().version == ScriptBundle(bundle().files).version
