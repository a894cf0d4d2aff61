# shellcheck shell=sh
# What the scripts of this service share. Sourced, never run.

# What is made here must be readable for the user that the service runs as.
umask 022
# shellcheck disable=SC2034 # for the scripts that source this
home=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 3
# What the launch found out, as key=value lines; the agent puts it here before it calls enstratus-configure.
facts=$home/cfg/enstratus.cfg
pid_file=$home/run/service.pid
log=$home/run/service.log

# fact KEY [DEFAULT]: the value of a key.
fact() {
    value=$(sed -n "s/^$1=//p" "$facts" | head -n 1)
    printf '%s\n' "${value:-${2:-}}"
}

# service_pid: prints the process id while the service runs. After a reboot the number in the file may be that of
# another program, hence the look at what it is.
service_pid() {
    pid=$(cat "$pid_file" 2>/dev/null) || return 1
    tr '\0' '\n' 2>/dev/null <"/proc/${pid:-none}/cmdline" | grep -Fqx -- "$home/site" || return 1
    printf '%s\n' "$pid"
}
