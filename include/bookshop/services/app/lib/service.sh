# shellcheck shell=sh
# What the scripts of the application service share. Sourced, never run.
#
# Exit codes: 1 wrong arguments, 2 a fact in the configuration file is missing or not usable, 3 this machine
# lacks something (root, the user, a package), 4 the application did not start or end.

# shellcheck disable=SC2034 # for the scripts that source this
home=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 3
settings=$home/cfg/app.json
log=$home/log/bookshop.log
pid_file=$home/run/bookshop.pid
# Python must not write into the installed archive.
export PYTHONPATH="$home/lib" PYTHONDONTWRITEBYTECODE=1

say() { printf '%s\n' "$*"; }

# fail CODE MESSAGE
fail() {
    printf '%s: %s\n' "${0##*/}" "$2" >&2
    exit "$1"
}

# application ARGUMENT...: the program itself, with Debian's Python, which has Debian's PyMySQL.
application() { /usr/bin/python3 -m bookshop "$@"; }

require_configured() { [ -f "$settings" ] || fail 3 "$settings is missing: configure the service first"; }

# The pid of the running application, or nothing. A pid alone proves little after a reboot: its command line does.
application_pid() {
    pid=$(cat "$pid_file" 2>/dev/null) || return 1
    tr '\0' '\n' 2>/dev/null <"/proc/${pid:-none}/cmdline" | grep -Fqx -- "$settings" || return 1
    printf '%s\n' "$pid"
}
