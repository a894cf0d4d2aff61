#!/bin/sh
# Becomes a machine of the cluster and runs a command there. Called inside its network namespace, in mount and UTS namespaces
# of its own, so nothing that is mounted here is seen outside.
#
# usage: enter.sh NAME FOLDER COMMAND...
set -eu

NAME=$1
FOLDER=$2
shift 2
hostname "$NAME"
# shellcheck disable=SC1091 # made for each machine
. "$FOLDER/environment.sh"
mount -t tmpfs -o mode=0755 tmpfs /opt
mkdir /opt/airflow
mount --bind "$FOLDER/airflow" /opt/airflow
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/secrets
mount --bind "$FOLDER/secrets" /run/secrets
# The other machines' files are theirs.
mount -t tmpfs -o mode=0700 tmpfs "$(dirname "$FOLDER")"
cd /opt/airflow
exec "$@"
