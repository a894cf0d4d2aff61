#!/bin/sh
# pytest-xdist 3.8.0 under pytest 9.2.0: `--dist loadgroup` hands the tests of one `xdist_group` to different workers, and
# says nothing. Fixtures of a module are then made in each worker. Under pytest 9.1.1 the group stays together.
#
# Seen on 2026-11-29, Python 3.11 (tests that ran in each worker):
#     pytest 9.1.1: 1 worker had the group
#     pytest 9.2.0: 2 workers had the group
# Cause: xdist writes the group behind the test's name into `item._nodeid`, which pytest 9.2 does not read any more.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

cat >"$folder/test_group.py" <<'PYTHON'
import time

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(12))
def test_it(number, worker_id):
    time.sleep(0.1)
    with open(f"{__file__}.{worker_id}", "a") as ran:
        ran.write("x")
PYTHON

# workers PYTEST_VERSION: how many workers had tests of the one group.
workers() {
    python3 -m venv "$folder/venv-$1"
    "$folder/venv-$1/bin/pip" --quiet --disable-pip-version-check install "pytest==$1" pytest-xdist==3.8.0
    rm -f "$folder"/test_group.py.gw*
    (cd "$folder" && "venv-$1/bin/python" -m pytest -q -p no:cacheprovider -n 2 --dist loadgroup test_group.py >/dev/null)
    set -- "$folder"/test_group.py.gw*
    echo $#
}

before=$(workers 9.1.1)
after=$(workers 9.2.0)
echo "pytest 9.1.1: $before worker(s) had the group"
echo "pytest 9.2.0: $after worker(s) had the group"
if [ "$before" -ne 1 ] || [ "$after" -ne 2 ]; then
    echo 'this has changed' >&2
    exit 1
fi
