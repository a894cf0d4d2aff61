#!/bin/sh
# Makes the project's virtual environment .venv from the lock file, with a uv of the project's own in .work/uv.
# Does nothing, quickly, when nothing is to be done.
#
# usage: setup-python.sh [--environment FOLDER] [UV-SYNC-ARGUMENT...]     (for example: --group docs)
#        setup-python.sh --lowest
#
# With --environment another one in this folder of the project, so that .venv stays as it is.
# With --lowest it is .work/lowest: the lowest versions that pyproject.toml allows, in place of those of the lock file.
set -eu

UV_VERSION=0.13.9 # the one that wrote uv.lock
ROOT=$(cd "$(dirname "$0")/.." && pwd)
UV=$ROOT/.work/uv/bin/uv
FOLDER=.venv
VERSIONS=uv.lock
case ${1-} in
--environment)
    FOLDER=$2
    shift 2
    ;;
--lowest)
    FOLDER=.work/lowest
    VERSIONS=.work/lowest-versions.txt
    ;;
esac
VENV=$ROOT/$FOLDER
STAMP=$VENV/.gantry-setup

say() { printf 'setup-python: %s\n' "$*"; }
die() {
    printf 'setup-python: %s\n' "$*" >&2
    exit 1
}

# The first Python 3.11 or newer on the PATH.
find_python() {
    for PYTHON in python3 python3.11 python3.12 python3.13 /usr/bin/python3; do
        "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return 0
    done
    die 'no Python 3.11 or newer on the PATH; on Debian 12: apt-get install python3 python3-venv'
}

# Debian's own Python refuses pip outside of virtual environments, and lacks them until python3-venv is there.
need_venv() {
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null && return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        die "$PYTHON cannot make virtual environments; on Debian, as root: apt-get install python3-venv"
    fi
    say 'installing python3-venv'
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends python3-venv >/dev/null
}

need_uv() {
    [ "$("$UV" --version 2>/dev/null | cut -d' ' -f2)" != "$UV_VERSION" ] || return 0
    find_python
    need_venv
    say "installing uv $UV_VERSION into .work/uv"
    rm -rf "$ROOT/.work/uv"
    mkdir -p "$ROOT/.work"
    "$PYTHON" -m venv "$ROOT/.work/uv"
    "$ROOT/.work/uv/bin/pip" install --quiet --disable-pip-version-check "uv==$UV_VERSION"
}

install_locked() {
    # Compiled once here: where PYTHONDONTWRITEBYTECODE is set, each process would compile all it imports again.
    UV_PROJECT_ENVIRONMENT="$VENV" "$UV" sync --project "$ROOT" --frozen --quiet --compile-bytecode "$@"
}

# The tools of the tests are no part of what is installed elsewhere, and are as new as they can be beside it.
install_lowest() {
    cd "$ROOT"
    "$UV" venv --quiet --clear "$VENV"
    # What is there would be preferred.
    rm -f "$VERSIONS"
    echo '.[local,cluster]' |
        "$UV" pip compile --quiet --python "$VENV" --resolution lowest-direct --no-header \
            --no-emit-package airflow-provider-gantry --output-file "$VERSIONS" - >/dev/null
    "$UV" pip install --quiet --python "$VENV" --compile-bytecode --constraint "$VERSIONS" \
        --editable '.[local,cluster]' --group dev --group docs
}

# What the environment is made from and how; the place too, as an environment cannot be moved.
inputs() {
    echo "$ROOT $*"
    sha256sum "$ROOT/pyproject.toml" "$ROOT/uv.lock" "$0"
}

wanted=$(inputs "$@" | sha256sum)
if [ -x "$VENV/bin/python" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
need_uv
say "making $FOLDER from $VERSIONS"
# An environment that is active in the caller's shell is not the one to fill; no Python is ever downloaded.
unset VIRTUAL_ENV UV_PYTHON
export UV_PYTHON_DOWNLOADS=never
if [ "$VERSIONS" = uv.lock ]; then
    install_locked "$@"
else
    install_lowest
fi
echo "$wanted" >"$STAMP"
say "ready: $("$VENV/bin/python" --version) in $FOLDER"
