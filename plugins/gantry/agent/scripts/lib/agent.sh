# shellcheck shell=sh
# Functions shared by the scripts of the Gantry agent. Sourced, never run.
#
# A script sets `set -eu`, sources this file, defines its work as a function `main` and ends with
#     agent_run "$@"        (or agent_run_here, see there)
# which adds the common parts of all scripts: the journal, the override and the -pre and -post hooks.
#
# Overrides, in /enstratus/custom/bin:
#   SCRIPT       runs instead of the shipped script, with its arguments. It may call the shipped one by its
#                path, which then does its own work (no override, no hooks again).
#   SCRIPT-pre   runs first, with the same arguments. If it fails, the script does not run and exits with the
#                hook's code.
#   SCRIPT-post  runs after a script that succeeded, with the same arguments and GANTRY_EXIT_CODE=0. If it
#                fails, the script fails with its code. After a script that failed it does not run.
# The output of hooks goes to standard error, since some scripts' standard output is an answer. A file there that
# is not executable is an error (126), not a hook to skip silently.
#
# Environment: GANTRY_ROOT, a prefix of every path (tests); GANTRY_JOB, the id of the job; GANTRY_CLOCK, see agent_clock.

: "${GANTRY_ROOT:=}"
export GANTRY_ROOT
ENSTRATUS=$GANTRY_ROOT/enstratus
SERVICES=$GANTRY_ROOT/mnt/services
AGENT_SCRIPT=${0##*/}
AGENT_HERE=no
agent_boot=
umask 027
# A command that comes over SSH often finds a PATH without the sbin folders.
PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

# say MESSAGE: prints a line for the reader of the log.
say() {
    printf '%s: %s\n' "$AGENT_SCRIPT" "$1" >&2
}

# fail CODE MESSAGE: prints what is wrong and ends the script.
fail() {
    say "$2"
    exit "$1"
}

# --- arguments -----------------------------------------------------------------------------------------------

# is_plain TEXT: letters, digits, dot, underscore and hyphen only, no leading dot or hyphen: safe as a file name.
is_plain() {
    case $1 in
    '' | [.-]* | *[!A-Za-z0-9._-]*) return 1 ;;
    esac
}

is_number() {
    case $1 in
    '' | *[!0-9]*) return 1 ;;
    esac
}

# require_service_id CODE TEXT, require_customer_id CODE TEXT, require_user_id CODE TEXT: fail unless well-formed.
require_service_id() {
    case $2 in
    a?*) is_number "${2#a}" && return ;;
    esac
    fail "$1" "'$2' is not a service id (a and digits)"
}

require_customer_id() {
    case $2 in
    c?*) is_number "${2#c}" && return ;;
    esac
    fail "$1" "'$2' is not a customer id (c and digits)"
}

require_user_id() {
    is_plain "$2" || fail "$1" "'$2' is not a user name"
}

# require_file CODE PATH: fail unless it is a file that can be read.
require_file() {
    [ -f "$2" ] || fail "$1" "there is no file $2"
    [ -r "$2" ] || fail "$1" "cannot read the file $2"
}

# --- processes -----------------------------------------------------------------------------------------------

# agent_stat PID|self: sets STAT_PID, STAT_STATE, STAT_PARENT and STAT_START (clock ticks since boot). False: no such process.
agent_stat() {
    { IFS= read -r agent_line <"/proc/$1/stat"; } 2>/dev/null || return 1
    STAT_PID=${agent_line%% *}
    # The name stands in parentheses and may hold spaces: all that counts comes after the last one. Words and numbers, which
    # `read` would take from a here-document letter by letter.
    agent_line=${agent_line##*) }
    # A process of anyone's may have a line break in its name: then this is no more than a part of it.
    case $agent_line in
    *[!0-9A-Za-z\ -]*) return 1 ;;
    esac
    # shellcheck disable=SC2086
    set -- $agent_line
    [ $# -ge 20 ] || return 1
    STAT_STATE=$1
    STAT_PARENT=$2
    shift 19
    STAT_START=$1
}

# agent_identity PID|self: sets IDENTITY, which no other process has had or will have, on this boot or another.
# False: no such process, or it is only waiting to be reaped.
agent_identity() {
    agent_stat "$1" || return 1
    case $STAT_STATE in
    Z | X) return 1 ;;
    esac
    [ -n "$agent_boot" ] || read -r agent_boot </proc/sys/kernel/random/boot_id
    IDENTITY="$STAT_PID $STAT_START $agent_boot"
}

# agent_alive FILE: true if the process whose identity the file holds runs.
agent_alive() {
    { IFS= read -r agent_identity_line <"$1"; } 2>/dev/null || return 1
    agent_identity "${agent_identity_line%% *}" && [ "$IDENTITY" = "$agent_identity_line" ]
}

# agent_is_ancestor PID: true if this very script runs below that process.
agent_is_ancestor() {
    agent_pid=$$
    while agent_stat "$agent_pid" && [ "$STAT_PARENT" -gt 1 ]; do
        [ "$STAT_PARENT" != "$1" ] || return 0
        agent_pid=$STAT_PARENT
    done
    return 1
}

# agent_lock NAME SECONDS CODE: holds the lock until the script ends (the kernel frees it, even after kill -9).
# A program that outlives the script must be started with 9>&-.
agent_lock() {
    command -v flock >/dev/null || fail "$3" "flock is missing: install util-linux"
    make_folder "$ENSTRATUS/ws/lock"
    exec 9>"$ENSTRATUS/ws/lock/$1"
    flock -w "$2" 9 || fail "$3" "waited $2 s in vain for the lock $ENSTRATUS/ws/lock/$1"
}

# --- files ---------------------------------------------------------------------------------------------------

# make_folder DIR: as `mkdir -p`, without a process where it is there, which it nearly always is.
make_folder() {
    [ -d "$1" ] || mkdir -p "$1"
}

# remove_files FILE...: as `rm -f`, without a process where there are none.
remove_files() {
    for agent_file in "$@"; do
        if [ -e "$agent_file" ] || [ -L "$agent_file" ]; then
            rm -f -- "$@"
            return
        fi
    done
}

# new_file PATH: makes an empty file. False: there is something of that name, or it cannot be made.
new_file() {
    set -C
    agent_made=yes
    { printf '' >"$1"; } 2>/dev/null || agent_made=no
    set +C
    # Not what the shell would write to all the same: a device, a pipe.
    [ "$agent_made" = yes ] && [ -f "$1" ]
}

# write_line FILE TEXT: the file appears with its whole content or not at all.
write_line() {
    printf '%s\n' "$2" >"$1.new.$$" && mv -fT "$1.new.$$" "$1"
}

# write_fresh_line FILE TEXT: the same without a process where the file says so already, or there is none yet. It is empty for a moment, or for
# good if this is killed in it, so a reader has to take an empty file for none.
write_fresh_line() {
    if [ -e "$1" ]; then
        if ! { IFS= read -r agent_line <"$1"; } 2>/dev/null || [ "$agent_line" != "$2" ]; then
            write_line "$1" "$2"
        fi
    else
        printf '%s\n' "$2" >"$1"
    fi
}

# absolute_path FILE: sets ABSOLUTE to the same file's path, for when the working folder changes. That of a link is where it
# leads by now.
# shellcheck disable=SC2034 # for the caller
absolute_path() {
    case $1 in
    /*) ABSOLUTE=$1 ;;
    *) ABSOLUTE=$PWD/$1 ;;
    esac
    [ ! -L "$1" ] || ABSOLUTE=$(readlink -f -- "$1")
}

# --- journal -------------------------------------------------------------------------------------------------

# agent_uptime: sets UPTIME, in whole seconds; for how long something takes.
agent_uptime() {
    read -r UPTIME _ </proc/uptime
    UPTIME=${UPTIME%%.*}
}

# agent_clock: sets GANTRY_CLOCK, a time since boot and what `date` said then, in seconds. For a minute that is handed on
# to what is called: a question for each line of the journal would be most of what a short script does.
agent_clock() {
    agent_uptime
    case ${GANTRY_CLOCK:-} in
    *[!0-9:]* | *:*:* | :* | *:) ;;
    *:*)
        agent_age=$((UPTIME - ${GANTRY_CLOCK%:*}))
        [ "$agent_age" -lt 0 ] || [ "$agent_age" -gt 60 ] || return 0
        ;;
    esac
    GANTRY_CLOCK=$UPTIME:$(date +%s) || true
    export GANTRY_CLOCK
}

# agent_now: sets the variables of a date and a time of day, in UTC. The calendar is counted from March, so that a leap
# day is a year's last one; 146097 days are 400 years.
agent_now() {
    agent_clock
    agent_second=$((${GANTRY_CLOCK#*:} + UPTIME - ${GANTRY_CLOCK%:*}))
    agent_day=$((agent_second / 86400 + 719468))
    agent_second=$((agent_second % 86400))
    agent_era=$((agent_day / 146097))
    agent_day=$((agent_day % 146097))
    agent_year=$(((agent_day - agent_day / 1460 + agent_day / 36524 - agent_day / 146096) / 365))
    agent_day=$((agent_day - 365 * agent_year - agent_year / 4 + agent_year / 100))
    agent_month=$(((5 * agent_day + 2) / 153))
    agent_day=$((agent_day - (153 * agent_month + 2) / 5 + 1))
    agent_month=$((agent_month < 10 ? agent_month + 3 : agent_month - 9))
    agent_year=$((agent_year + 400 * agent_era + (agent_month <= 2)))
}

# agent_journal TEXT: appends one line to the agent's log. Never fails the script.
# One write of less than a page to a file opened for appending is not torn by other writers.
agent_journal() {
    {
        make_folder "$ENSTRATUS/ws/log"
        agent_text=$1
        case ${#1}:$1 in
        [0-9]:* | [0-9][0-9]:* | [1-8][0-9][0-9]:*) ;;
        *) agent_text=$(printf '%s' "$1" | LC_ALL=C cut -b 1-900) ;;
        esac
        case $agent_text in
        *[[:cntrl:]]*) agent_text=$(printf '%s' "$agent_text" | LC_ALL=C tr '[:cntrl:]' ' ') ;;
        esac
        agent_now
        printf '%04d-%02d-%02dT%02d:%02d:%02dZ %s pid=%s job=%s\n' "$agent_year" "$agent_month" "$agent_day" \
            "$((agent_second / 3600))" "$((agent_second / 60 % 60))" "$((agent_second % 60))" \
            "$agent_text" "$$" "${GANTRY_JOB:--}" >>"$ENSTRATUS/ws/log/agent.log"
    } 2>/dev/null || say "cannot write to $ENSTRATUS/ws/log/agent.log"
}

# --- the frame around each script ----------------------------------------------------------------------------

# agent_hook FILE ARG...: runs it when it exists, what it prints going to standard error.
agent_hook() {
    agent_hook_file=$1
    shift
    [ -e "$agent_hook_file" ] || return 0
    if [ ! -x "$agent_hook_file" ]; then
        say "$agent_hook_file is not executable"
        return 126
    fi
    agent_hook_code=0
    "$agent_hook_file" "$@" >&2 || agent_hook_code=$?
    [ "$agent_hook_code" -eq 0 ] || say "$agent_hook_file failed with exit code $agent_hook_code"
    return "$agent_hook_code"
}

# agent_wrapped: true when the script's own override or hook calls it. The process id in the mark keeps a daemon
# that inherited the environment from passing for one of them later on.
agent_wrapped() {
    for agent_mark in ${GANTRY_WRAPPED:-}; do
        [ "${agent_mark%:*}" = "$AGENT_SCRIPT" ] || continue
        agent_is_ancestor "${agent_mark##*:}" && return 0
    done
    return 1
}

# agent_forget: removes the marks whose keys are in GANTRY_FORGETS (comma-separated). For a script that invalidates them, just
# before it does.
agent_forget() {
    agent_keys=${GANTRY_FORGETS:-}
    set --
    while [ -n "$agent_keys" ]; do
        set -- "$@" "$ENSTRATUS/ws/state/${agent_keys%%,*}"
        case $agent_keys in
        *,*) agent_keys=${agent_keys#*,} ;;
        *) agent_keys= ;;
        esac
    done
    remove_files "$@"
    unset GANTRY_FORGETS
}

# at_exit: is called when main ends, by itself or by `exit`; AGENT_CODE is its exit code then. A script that has something to
# do at its end defines it once more: main sets no trap for that, since agent_main_here has one.
at_exit() {
    :
}

agent_clean_up() {
    AGENT_CODE=$?
    at_exit || true
}

# agent_main ARG...: main in a process of its own, since it may end by `exec`, and what it does to umask, locks and variables
# must not reach a hook. Sets AGENT_CODE.
agent_main() {
    # Not `|| CODE=$?`: the shell would ignore `set -e` in all of the function.
    set +e
    (
        set -e
        trap agent_clean_up EXIT
        main "$@"
    )
    AGENT_CODE=$?
    set -e
}

# agent_main_here ARG...: main in this very process, which ends with it.
agent_main_here() {
    trap 'agent_clean_up; umask 027; agent_ended' EXIT
    main "$@"
    exit 0
}

# agent_body ARG...: the override if there is one, else main. Sets AGENT_CODE.
agent_body() {
    agent_custom=$ENSTRATUS/custom/bin/$AGENT_SCRIPT
    AGENT_CODE=0
    if [ "$AGENT_INNER" = no ] && [ -e "$agent_custom" ]; then
        say "replaced by $agent_custom"
        agent_forget
        "$agent_custom" "$@" || AGENT_CODE=$?
    elif [ "$AGENT_HERE" = yes ] && { [ "$AGENT_INNER" = yes ] || [ ! -e "$agent_custom-post" ]; }; then
        agent_main_here "$@"
    else
        agent_main "$@"
    fi
}

# agent_ended: ends the script with AGENT_CODE.
agent_ended() {
    agent_uptime
    [ -n "${GANTRY_QUIET:-}" ] ||
        agent_journal "end $AGENT_SCRIPT exit=$AGENT_CODE seconds=$((UPTIME - agent_since))"
    exit "$AGENT_CODE"
}

# agent_run_here ARG...: as agent_run, for a main that does not end by `exec` and sets no trap for the exit: without a -post
# hook it needs no process of its own.
agent_run_here() {
    AGENT_HERE=yes
    agent_run "$@"
}

# agent_run ARG...: ends the script with main's exit code (see the top of this file).
agent_run() {
    agent_uptime
    agent_since=$UPTIME
    [ -n "${GANTRY_QUIET:-}" ] || agent_journal "begin $AGENT_SCRIPT $*"
    if agent_wrapped; then
        AGENT_INNER=yes
        agent_body "$@"
    else
        AGENT_INNER=no
        GANTRY_WRAPPED="${GANTRY_WRAPPED:-} $AGENT_SCRIPT:$$"
        export GANTRY_WRAPPED
        AGENT_CODE=0
        agent_hook "$ENSTRATUS/custom/bin/$AGENT_SCRIPT-pre" "$@" || AGENT_CODE=$?
        if [ "$AGENT_CODE" -eq 0 ]; then
            agent_body "$@"
            if [ "$AGENT_CODE" -eq 0 ]; then
                GANTRY_EXIT_CODE=0
                export GANTRY_EXIT_CODE
                agent_hook "$ENSTRATUS/custom/bin/$AGENT_SCRIPT-post" "$@" || AGENT_CODE=$?
            fi
        fi
    fi
    agent_ended
}

# find_agent_script CODE NAME: sets FOUND_SCRIPT to the agent's script of that name, or to one of the operator's own.
find_agent_script() {
    is_plain "$2" || fail "$1" "'$2' is not a script's name"
    for FOUND_SCRIPT in "$ENSTRATUS/bin/$2" "$ENSTRATUS/custom/bin/$2"; do
        [ ! -x "$FOUND_SCRIPT" ] || return 0
    done
    fail "$1" "there is no script $2 in $ENSTRATUS/bin or $ENSTRATUS/custom/bin"
}

# --- service scripts -----------------------------------------------------------------------------------------

# find_service_script SERVICE_ID NAME...: sets SERVICE_SCRIPT to the first of the names that the service's bin
# folder has. False: it has none.
find_service_script() {
    SERVICE_SCRIPT=
    service_id=$1
    shift
    for service_name in "$@"; do
        SERVICE_SCRIPT=$SERVICES/$service_id/bin/$service_name
        [ ! -e "$SERVICE_SCRIPT" ] || return 0
    done
    return 1
}

# run_service_script ARG...: runs SERVICE_SCRIPT as the agent's own user (it finds runAsUser in enstratus.cfg) and
# ends the script with its exit code.
run_service_script() {
    # What the service calls in its turn is no part of this script: it has its own hooks.
    unset GANTRY_WRAPPED GANTRY_EXIT_CODE GANTRY_QUIET GANTRY_FORGETS GANTRY_RESTORE GANTRY_CLOCK GANTRY_FETCHED
    exec "$SERVICE_SCRIPT" "$@"
}

# find_proxy_helper: sets PROXY_HELPER to the program that speaks to this server's balancer (see startProxy).
find_proxy_helper() {
    helper=${GANTRY_PROXY_HELPER:-}
    if [ -z "$helper" ] && [ -r "$ENSTRATUS/custom/proxy-helper" ]; then
        read -r helper <"$ENSTRATUS/custom/proxy-helper" || true
    fi
    helper=${helper:-proxy-haproxy}
    is_plain "$helper" || fail 21 "'$helper' is not a helper's name"
    for PROXY_HELPER in "$ENSTRATUS/custom/bin/$helper" "$ENSTRATUS/bin/$helper"; do
        [ ! -x "$PROXY_HELPER" ] || return 0
    done
    fail 21 "there is no proxy helper $helper in $ENSTRATUS/custom/bin or $ENSTRATUS/bin"
}

# is_movable SERVICE_ID: whether the service's folder can be renamed within $SERVICES (also where there is none).
is_movable() {
    [ ! -L "$SERVICES/$1" ] || return 1
    [ ! -d "$SERVICES/$1" ] || [ "$(stat -c %d "$SERVICES/$1")" = "$(stat -c %d "$SERVICES")" ]
}

# enter_config_folder CODE SERVICE_ID: makes the service's cfg folder the working folder, unless it is a link.
enter_config_folder() {
    config_folder=$SERVICES/$2/cfg
    cd -P "$config_folder" 2>/dev/null || fail "$1" "there is no folder $config_folder"
    case $PWD in
    */"$2"/cfg) ;;
    *) fail "$1" "$config_folder is a link to $PWD: make it a folder" ;;
    esac
}

# is_tidy_config: whether ./enstratus.cfg is as replace_config leaves it. A second name would be another file's, which a
# configure script would write to.
is_tidy_config() {
    [ -f ./enstratus.cfg ] && [ ! -L ./enstratus.cfg ] && [ -O ./enstratus.cfg ] || return 1
    config_facts=$(stat -c '%g %a %h' . ./enstratus.cfg) || return 1
    {
        read -r config_group _
        read -r config_facts
    } <<END
$config_facts
END
    [ "$config_facts" = "$config_group 640 1" ] && LC_ALL=C awk '/\r/ { exit 1 }' ./enstratus.cfg
}

# replace_config CODE SOURCE: makes ./enstratus.cfg SOURCE's content without CR, mode 640, in one step. It is root's, and
# of the folder's group: a user who may change it could have root start the service as root (runAsUser).
replace_config() {
    # The service's own user may write to this folder, hence all is prepared where only root can. Only root may read the
    # copy; the new file has the mode that the umask leaves (see above), and gets the folder's group.
    config_new=$SERVICES/.configure.$$
    remove_files "$config_new" "$config_new.raw"
    umask 077
    new_file "$config_new.raw" || fail "$1" "cannot write to $SERVICES"
    umask 027
    new_file "$config_new" || fail "$1" "cannot write to $SERVICES"
    # nofollow: a link must not hand out another file's content.
    if dd if="$2" of="$config_new.raw" iflag=nofollow bs=64k status=none &&
        tr -d '\r' <"$config_new.raw" >"$config_new" &&
        chgrp --reference=. "$config_new" &&
        mv -fT "$config_new" ./enstratus.cfg; then
        rm -f "$config_new.raw"
    else
        rm -f "$config_new" "$config_new.raw"
        fail "$1" "cannot write $config_folder/enstratus.cfg"
    fi
}
