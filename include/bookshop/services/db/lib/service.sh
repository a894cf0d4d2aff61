# shellcheck shell=sh
# What the scripts of the database service share. Sourced, never run.
#
# Exit codes: 1 wrong arguments, 2 a fact in the configuration file is missing or not usable, 3 this machine
# lacks something (root, the user, MariaDB), 4 MariaDB did not start or end, 5 the dump could not be loaded,
# 6 access could not be changed, 7 the master could not be copied, 8 the dump could not be written.

home=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 3
settings=$home/cfg/my.cnf
# Written by the agent, and root's: the service's user cannot change it.
facts=$home/cfg/enstratus.cfg
# The folders data, log and run are the user's, and so is what is in cfg but for root's files: root writes nothing there
# by a name that could be a link, and runs no program with settings from there.
data=$home/data
server_log=$home/log/mariadb.log
pid_file=$home/run/mariadb.pid
socket=$home/run/mariadb.sock

say() { printf '%s\n' "$*"; }

# fail CODE MESSAGE
fail() {
    printf '%s: %s\n' "${0##*/}" "$2" >&2
    exit "$1"
}

# usage WANTED GIVEN NAMES: ends the script unless at least WANTED arguments were given.
usage() {
    [ "$2" -ge "$1" ] || fail 1 "wrong arguments, expected: ${0##*/} $3"
}

# matches VALUE PATTERN: the whole value is of this extended regular expression, and one line.
matches() {
    [ "$(printf '%s' "$1" | wc -l)" -eq 0 ] && printf '%s\n' "$1" | LC_ALL=C grep -Eqx -- "$2"
}

# value FILE KEY: what stands behind the first KEY= outside [custom], with every further = in it.
value() {
    awk -v key="$2=" '
        { sub(/\r$/, "") }
        /^\[/ { custom = ($0 == "[custom]") }
        !custom && index($0, key) == 1 { print substr($0, length(key) + 1); exit }
    ' "$1"
}

# has FILE KEY: the key is there, be its value empty or not.
has() {
    awk -v key="$2=" '
        /^\[/ { custom = ($0 == "[custom]") }
        !custom && index($0, key) == 1 { found = 1; exit }
        END { exit !found }
    ' "$1"
}

# fact FILE KEY PATTERN: the value, or the end of the script when it is not of this pattern.
# Call it as name=$(fact ...) || exit, since it ends a subshell only.
fact() {
    fact_value=$(value "$1" "$2")
    matches "$fact_value" "$3" || fail 2 "$1: $2= is missing or not of the form $3"
    printf '%s\n' "$fact_value"
}

readable() {
    if [ -f "$1" ] && [ -r "$1" ]; then return; fi
    fail 1 "cannot read the file $1"
}

# The root account of the database opens for the operating system's root on the socket only.
require_root() {
    [ "$(id -u)" -eq 0 ] || fail 3 "has to run as root, not as $(id -un)"
    for tool in mariadbd mariadb mariadb-install-db; do
        command -v "$tool" >/dev/null || fail 3 "$tool is not on this server: install mariadb-server"
    done
    matches "$home" '[A-Za-z0-9/._-]+' || fail 3 "the folder $home has a name that my.cnf cannot hold"
}

# service_user FILE: the user that the service runs as.
service_user() {
    service_user_key=runAsUser
    [ -n "$(value "$1" runAsUser)" ] || service_user_key=customerId
    service_user_name=$(fact "$1" "$service_user_key" '[a-z_][a-z0-9_-]{0,31}') || exit
    id "$service_user_name" >/dev/null 2>&1 ||
        fail 3 "there is no user $service_user_name on this server: installService makes it"
    printf '%s\n' "$service_user_name"
}

# port_of FILE: where to listen; MariaDB's own port when the definition names none.
port_of() {
    for port_key in port.1.privatePort privatePort; do
        if [ -n "$(value "$1" "$port_key")" ]; then
            fact "$1" "$port_key" '[0-9]{1,5}'
            return
        fi
    done
    say 3306
}

# configured_user: the same, of a service that is configured.
configured_user() {
    [ -f "$settings" ] || fail 3 "$settings is missing: configure the service first"
    service_user "$facts"
}

as_user() {
    as_user_name=$1
    shift
    setpriv --reuid="$as_user_name" --regid="$(id -g "$as_user_name")" --init-groups -- "$@"
}

# One script at a time changes the instance. The server itself must not inherit the lock (9>&-).
lock_instance() {
    exec 9>"$home/.lock"
    flock -w 300 9 || fail 4 "another script has held $home/.lock for 300 s"
}

# write_settings USER PORT NETWORK [MORE]: generates my.cnf from its template. MORE is the template of a replicated
# instance's further settings; its server id follows from the first address in NETWORK.
write_settings() {
    # The templates are the user's: read with the user's rights. And my.cnf is made where only root can enter.
    write_settings_new=$(mktemp "$home/.my.cnf.XXXXXX") || fail 3 "cannot write to $home"
    as_user "$1" cat "$home/cfg/master.cnf" ${4:+"$4"} | sed -e "s|@HOME@|$home|g" -e "s|@USER@|$1|g" \
        -e "s|@PORT@|$2|g" -e "s|@NETWORK@|$3|g" -e "s|@SERVER_ID@|${4:+$(server_id "$3")}|g" >"$write_settings_new"
    if cmp -s "$write_settings_new" "$settings"; then
        rm -f "$write_settings_new"
        say "$settings is as it should be"
        return
    fi
    chmod 640 "$write_settings_new"
    chown "root:$(id -g "$1")" "$write_settings_new"
    mv -fT "$write_settings_new" "$settings"
    say "wrote $settings ($3)"
}

# server_id NETWORK: a number that no other server of the network has.
server_id() {
    server_address=${1#*= }
    server_address=${server_address%%,*}
    case $server_address in
    *:*) printf '%s' "$server_address" | cksum | cut -d' ' -f1 ;;
    *) printf '%s\n' "$server_address" | awk -F. '{ printf "%.0f\n", (($1 * 256 + $2) * 256 + $3) * 256 + $4 }' ;;
    esac
}

# The pid of the running server, or nothing. A pid alone proves little after a reboot: its command line does.
server_pid() {
    pid=$(cat "$pid_file" 2>/dev/null) || return 1
    matches "$pid" '[0-9]+' || return 1
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -Fqx -- "--defaults-file=$settings" || return 1
    printf '%s\n' "$pid"
}

# as_root_account PROGRAM OPTION...: one of MariaDB's clients, as the root account. Without my.cnf, which could have it load
# a library; and what answers on the socket may be anything that the user has started.
as_root_account() {
    as_root_program=$1
    shift
    "$as_root_program" --no-defaults --socket="$socket" --user=root "$@"
}

# Statements on standard input, run by the root account; results as tab-separated lines.
sql() {
    as_root_account mariadb --connect-timeout=5 --skip-local-infile --loose-sandbox --batch --skip-column-names
}

# sql_files FILE... -- NAME VALUE...: runs the files with each @NAME set. Values travel as hexadecimal digits on
# standard input, so none of them can be taken for SQL or be seen in an argument list.
sql_files() {
    sql_files_list=
    while [ "$1" != -- ]; do
        sql_files_list="$sql_files_list $1"
        shift
    done
    shift
    {
        while [ $# -gt 0 ]; do
            printf "SET @%s = CONVERT(X'%s' USING utf8mb4);\n" "$1" "$(printf '%s' "$2" | od -An -v -tx1 | tr -d ' \n')"
            shift 2
        done
        for sql_file in $sql_files_list; do
            cat "$home/sql/$sql_file.sql" || exit
        done
    } | sql
}

# ensure_instance USER: an empty instance where none is. The data of an earlier one are never touched.
ensure_instance() {
    ensure_group=$(id -g "$1")
    install -d -o "$1" -g "$ensure_group" -m 750 "$home/log" "$home/run"
    [ ! -d "$data/mysql" ] || return 0
    [ ! -e "$data" ] || rmdir "$data" 2>/dev/null ||
        fail 4 "$data is no MariaDB data folder and not empty: look at it and move it away"
    say "making an empty instance in $data"
    rm -rf "$data.new"
    install -d -o "$1" -g "$ensure_group" -m 700 "$data.new"
    # Made beside its place and moved there when complete: an interrupted one is made again.
    # shellcheck disable=SC2016 # for the inner shell
    if ! as_user "$1" sh -c 'exec mariadb-install-db --no-defaults --datadir="$1" --skip-test-db \
        --auth-root-authentication-method=socket --auth-root-socket-user=root >"$2" 2>&1' \
        install "$data.new" "$home/log/install.log" 9>&-; then
        as_user "$1" tail -n 20 "$home/log/install.log" >&2
        fail 4 "mariadb-install-db failed, see $home/log/install.log"
    fi
    mv "$data.new" "$data"
}

# start_server [USER]: starts the server unless it runs and returns when it answers. USER: where nothing is configured yet.
start_server() {
    server_user=${1:-}
    [ -n "$server_user" ] || server_user=$(configured_user) || exit
    ensure_instance "$server_user"
    started=
    if server_pid >/dev/null; then
        say "MariaDB runs already (pid $(server_pid))"
    else
        say "starting MariaDB as $server_user"
        # What an earlier one has left. MariaDB writes its own, as its user.
        rm -f "$pid_file"
        # Its own session: what ends the caller's process group must not end the database. The log is opened by the user.
        # shellcheck disable=SC2016 # for the inner shell
        setsid setpriv --reuid="$server_user" --regid="$(id -g "$server_user")" --init-groups -- \
            sh -c 'exec mariadbd --defaults-file="$1" >>"$2" 2>&1' start "$settings" "$server_log" \
            </dev/null >/dev/null 2>&1 9>&- &
        started=$!
    fi
    start_deadline=$(($(date +%s) + ${START_TIMEOUT_SECONDS:-120}))
    until sql </dev/null >/dev/null 2>&1; do
        # MariaDB writes its pid late: until then the process that was started is what runs.
        if ! server_pid >/dev/null && ! kill -0 "${started:-x}" 2>/dev/null; then
            as_user "$server_user" tail -n 20 "$server_log" >&2
            fail 4 "MariaDB ended while it started, see $server_log"
        fi
        if [ "$(date +%s)" -ge "$start_deadline" ]; then
            as_user "$server_user" tail -n 20 "$server_log" >&2
            fail 4 "MariaDB does not answer after ${START_TIMEOUT_SECONDS:-120} s, see $server_log"
        fi
        sleep 0.1
    done
    sql_files registry -- || fail 4 "cannot prepare the schema enstratus"
}
