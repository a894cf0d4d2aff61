#!/bin/bash
# Runs a command on a prepared machine, and leaves the machine as it was found: an engine that was started for the
# command is stopped after it. INT and TERM reach the command as one INT, so that it can clean up; the exit code is
# the command's own.
#
# usage: with-machine.sh [--cluster | --lowest] COMMAND ARG...
#
# With --cluster the machine is prepared for an Airflow of several machines, and the environment is .work/cluster.
# With --lowest the environment is .work/lowest.
#
# bash: with job control the command gets a process group of its own, and its SIGINT is not ignored.
# shellcheck disable=SC2317 # the functions are called by traps
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=$HERE/../.venv/bin/python
COMMAND=
CLUSTER=
case ${1-} in
--cluster)
    PYTHON=$HERE/../.work/cluster/bin/python
    CLUSTER=--cluster
    shift
    ;;
--lowest)
    PYTHON=$HERE/../.work/lowest/bin/python
    shift
    ;;
esac

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

pass_on() {
    # A second one would interrupt the cleaning up.
    trap '' INT TERM HUP
    [ -z "$COMMAND" ] || kill -s INT -- "-$COMMAND" 2>/dev/null || :
}

restore() {
    trap '' INT TERM HUP
    if [ "$was_running" = no ]; then
        "$PYTHON" -c 'from gantry.local.cloud import control; control.stop_engine() and print("stopped dockerd")' || :
    fi
}

was_running=yes
engine_answers || was_running=no
trap restore EXIT
trap 'exit 130' INT TERM HUP
"$HERE/setup-machine.sh" ${CLUSTER:+"$CLUSTER"}
# What a killed run left would be in the way.
"$PYTHON" -m gantry.local.demo.run --clean
[ -z "$CLUSTER" ] || "$PYTHON" -m gantry.local.cluster --clean

set -m
trap pass_on INT TERM HUP
"$@" </dev/null &
COMMAND=$!
set +m
# A trap ends `wait`, but not the command.
code=0
wait "$COMMAND" || code=$?
while kill -0 "$COMMAND" 2>/dev/null; do
    code=0
    wait "$COMMAND" || code=$?
done
exit "$code"
