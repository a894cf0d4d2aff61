# shellcheck shell=sh
# What the scripts of the application service share. Sourced, never run.
#
# Exit codes: 1 wrong arguments, 2 a fact in the configuration file is missing or not usable, 3 this machine
# lacks something (root, the user, a package), 4 the application did not start or end.

# shellcheck disable=SC2034 # for the scripts that source this
home=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 3
settings=$home/cfg/app.json
# Written by the agent, and root's: the service's user cannot change it.
facts=$home/cfg/enstratus.cfg
# The folder log is the user's, run is root's.
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

# service_user: the user that the service runs as. What the user may change itself, such as the owner of app.json, says
# nothing about that: it could say root.
service_user() {
    service_user_name=$(awk '
        { sub(/\r$/, "") }
        /^\[/ { custom = ($0 == "[custom]") }
        !custom && index($0, "runAsUser=") == 1 && !runs { runs = substr($0, 11) }
        !custom && index($0, "customerId=") == 1 && !owns { owns = substr($0, 12) }
        END { print (runs ? runs : owns) }' "$facts") || fail 2 "cannot read the file $facts"
    id "$service_user_name" >/dev/null 2>&1 ||
        fail 3 "there is no user '$service_user_name' on this server: installService makes it"
    printf '%s\n' "$service_user_name"
}

# as_user USER COMMAND...: with the rights of the user, who owns the folder log: root follows no link there.
as_user() {
    as_user_name=$1
    shift
    setpriv --reuid="$as_user_name" --regid="$(id -g "$as_user_name")" --init-groups -- "$@"
}

require_configured() { [ -f "$settings" ] || fail 3 "$settings is missing: configure the service first"; }

# The pid of the running application, or nothing. A pid alone proves little after a reboot: its command line does.
application_pid() {
    pid=$(cat "$pid_file" 2>/dev/null) || return 1
    tr '\0' '\n' 2>/dev/null <"/proc/${pid:-none}/cmdline" | grep -Fqx -- "$settings" || return 1
    printf '%s\n' "$pid"
}
