#!/bin/sh
# Prepares a Debian 12 machine for the demo and the tests: packages, a running Docker Engine, the server images.
# Does nothing, quickly, when nothing is to be done.
#
# usage: [CHEF_CLIENT=VERSION|PATH] setup-machine.sh [--cluster]
#
# With --cluster also what an Airflow of several machines runs on, which the demo and the tests do without.
#
# CHEF_CLIENT is what becomes chef-client on the servers: `stand-in` (default); a version of Chef Infra Client such as
# `18`, where its vendor's installer can be reached; or a path with a slash in it: a folder of Debian packages (Chef's, or
# Cinc's), or an installer, which is run as root in the image and has to put chef-client or cinc-client there.
set -eu

# docker.io           the engine that the servers run on
# iptables            Docker's networks need it; docker.io only recommends it on some releases
# debootstrap         makes the base image where no registry is in reach
# openssh-client      to look into a server by hand, ssh-keygen
# curl zip unzip      service archives, health checks
# bzip2 xz-utils zstd service archives that are packed by these
# haproxy shellcheck  the tests lint the shipped shell scripts and the generated haproxy.cfg files
# goiardi             the Chef server of the embedded cloud
# postgresql          what the tests' Airflow keeps its metadata in
PACKAGES='docker.io iptables debootstrap openssh-client curl zip unzip bzip2 xz-utils zstd haproxy shellcheck goiardi postgresql'
COMMANDS='docker curl zip unzip bzip2 xz zstd haproxy shellcheck ssh-keygen goiardi'
# redis-server        Celery's queue
# iproute2            the network of its machines
CLUSTER_PACKAGES='redis-server iproute2'
CLUSTER_COMMANDS='redis-server ip iptables psql'

IMAGE=gantry-server # :latest is the bare one, :prepared has the demo's software
CHEF_CLIENT=${CHEF_CLIENT:-stand-in}
BASE=debian:bookworm-slim
MIRROR=http://deb.debian.org/debian
DOCKERD_LOG=/var/log/gantry-dockerd.log
DOCKERD_PID=/run/gantry-dockerd.pid # says that we started it: `python -m gantry.local down --stop-engine`
CONTEXT=$(cd "$(dirname "$0")" && pwd)/server
SCRATCH=
STAGE=

say() { printf 'setup-machine: %s\n' "$*"; }
die() {
    printf 'setup-machine: %s\n' "$*" >&2
    exit 1
}
clean_up() { rm -rf ${SCRATCH:+"$SCRATCH"} ${STAGE:+"$STAGE"}; }
trap clean_up EXIT
trap 'exit 130' INT TERM

missing_packages() {
    for package in $PACKAGES; do
        case $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) printf '%s ' "$package" ;;
        esac
    done
}

# shellcheck disable=SC1091 # the host's own file
is_debian_12() { [ -r /etc/os-release ] && (. /etc/os-release && [ "${ID-}:${VERSION_ID-}" = debian:12 ]); }
engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
has_systemd() { [ -d /run/systemd/system ]; }

# Elsewhere we change nothing: say what has to be there.
require_by_hand() {
    wanted=
    for command in $COMMANDS; do
        command -v "$command" >/dev/null || wanted="$wanted $command"
    done
    [ -z "$wanted" ] || die "$1: install these commands yourself:$wanted"
    engine_answers || die "$1: start the Docker Engine yourself (docker version must answer)"
}

install_packages() {
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    say "installing $missing"
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends $missing
    # The tests and the demo start what they need themselves.
    for service in goiardi postgresql redis-server; do
        case $missing in
        *"$service"*) ! has_systemd || systemctl disable --quiet --now "$service" ;;
        esac
    done
}

start_engine() {
    engine_answers && return 0
    if has_systemd; then
        say 'starting the Docker Engine by systemctl'
        systemctl start docker
    else
        say "starting dockerd, log in $DOCKERD_LOG"
        setsid nohup dockerd >>"$DOCKERD_LOG" 2>&1 </dev/null &
        echo $! >"$DOCKERD_PID"
    fi
    tries=0
    until engine_answers; do
        tries=$((tries + 1))
        [ "$tries" -lt 120 ] || die "the Docker Engine did not answer within 60 s; see $DOCKERD_LOG"
        sleep 0.5
    done
}

make_base() {
    docker image inspect "$BASE" >/dev/null 2>&1 && {
        say "base image $BASE: the one that is there"
        return 0
    }
    if timeout 20 docker pull --quiet "$BASE" >/dev/null 2>&1; then
        say "base image $BASE: pulled"
        return 0
    fi
    command -v debootstrap >/dev/null || die "no registry in reach for $BASE, and no debootstrap to make it"
    say "base image $BASE: no registry in reach, made by debootstrap from $MIRROR"
    SCRATCH=$(mktemp -d)
    debootstrap --variant=minbase bookworm "$SCRATCH/root" "$MIRROR" >"$SCRATCH/log" 2>&1 ||
        die "debootstrap failed: $(tail -n 3 "$SCRATCH/log")"
    rm -rf "$SCRATCH/root/var/cache/apt/archives" "$SCRATCH/root/var/lib/apt/lists"
    tar -C "$SCRATCH/root" -c . | docker import --change 'CMD ["bash"]' - "$BASE" >/dev/null
}

# stage_own_client: a context that holds what CHEF_CLIENT points to, in chef-client/own.
stage_own_client() {
    STAGE=$(mktemp -d)
    cp -R "$CONTEXT" "$STAGE/server"
    if [ -d "$CHEF_CLIENT" ]; then
        ls "$CHEF_CLIENT"/*.deb >/dev/null 2>&1 || die "CHEF_CLIENT: there is no package (*.deb) in $CHEF_CLIENT"
        mkdir "$STAGE/server/chef-client/own"
        cp "$CHEF_CLIENT"/*.deb "$STAGE/server/chef-client/own"
    else
        [ -f "$CHEF_CLIENT" ] || die "CHEF_CLIENT: there is neither a folder nor a file $CHEF_CLIENT"
        mkdir "$STAGE/server/chef-client/own"
        cp "$CHEF_CLIENT" "$STAGE/server/chef-client/own/installer"
    fi
    CONTEXT=$STAGE/server
    CHEF_CLIENT=own
}

inputs_hash() {
    (cd "$CONTEXT" && {
        echo "$CHEF_CLIENT"
        find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -d' ' -f1)
}

# make_image TARGET NAME: builds a target of the Dockerfile, unless the image of that name was built from the same.
make_image() {
    hash=$(inputs_hash)
    built=$(docker image inspect --format '{{index .Config.Labels "gantry.inputs"}}' "$2" 2>/dev/null || :)
    [ "$hash" != "$built" ] || return 0
    make_base
    say "building $2, chef-client: $CHEF_CLIENT"
    former=$(docker image inspect --format '{{.Id}}' "$2" 2>/dev/null || :)
    docker build --target "$1" --build-arg "CHEF_CLIENT=$CHEF_CLIENT" --label "gantry.inputs=$hash" --tag "$2" \
        "$CONTEXT" || die "docker build of $CONTEXT failed"
    # Servers that still run on the former image keep it.
    [ -z "$former" ] || docker rmi "$former" >/dev/null 2>&1 || :
}

if [ "${1-}" = --cluster ]; then
    PACKAGES="$PACKAGES $CLUSTER_PACKAGES"
    COMMANDS="$COMMANDS $CLUSTER_COMMANDS"
    shift
fi
[ $# -eq 0 ] || die "unknown argument: $1 (usage: [CHEF_CLIENT=VERSION|PATH] setup-machine.sh [--cluster])"
case $CHEF_CLIENT in
*/*) stage_own_client ;;
esac
if ! is_debian_12; then
    require_by_hand 'this is not Debian 12'
elif [ "$(id -u)" -ne 0 ]; then
    missing=$(missing_packages)
    [ -z "$missing" ] || die "not root; run: sudo apt-get install --no-install-recommends $missing"
    engine_answers || die 'no Docker Engine answers, and only root can start it'
else
    install_packages
    start_engine
fi
make_image bare "$IMAGE:latest"
make_image prepared "$IMAGE:prepared"
say "ready: Docker $(docker version --format '{{.Server.Version}}'), images $IMAGE:latest and $IMAGE:prepared"
