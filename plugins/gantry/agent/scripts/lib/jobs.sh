# shellcheck shell=sh
# Implementation of `job` (see its head). Sourced, never run, after agent.sh.

jobs=$ENSTRATUS/ws/jobs
marks=$ENSTRATUS/ws/state

line_break='
'

usage() {
    fail 2 "usage: $1 (see the head of $ENSTRATUS/bin/job)"
}

# --- ids and states ------------------------------------------------------------------------------------------

# parse_id STEP/N/NAME: sets job_dir.
parse_id() {
    id_step=${1%%/*}
    id_rest=${1#*/}
    id_name=${id_rest#*/}
    if ! is_plain "$id_step" || ! is_number "${id_rest%%/*}" || ! is_plain "$id_name" || [ "$id_name" = "done" ] ||
        [ "$1" != "$id_step/${id_rest%%/*}/$id_name" ]; then
        fail 2 "'$1' is not a job's id (STEP/NUMBER/NAME)"
    fi
    job_dir=$jobs/$1
}

# parse_mark KEY: fails unless it is a relative path of plain names.
parse_mark() {
    case /$1/ in
    *//* | */.* | *[!A-Za-z0-9._/-]*) fail 2 "'$1' is not a mark's key" ;;
    esac
}

# job_state DIR: sets state (absent running succeeded failed killed lost) and code.
job_state() {
    code=
    state=absent
    [ -e "$1/runner" ] || return 0
    if ! read_exit "$1"; then
        # The script may have outlived its runner.
        if agent_alive "$1/runner" || agent_alive "$1/script"; then
            state=running
        elif ! read_exit "$1"; then
            state=lost
        fi
    fi
}

read_exit() {
    { read -r state code <"$1/exit"; } 2>/dev/null || return 1
    case $state:$code in
    exit:0) state=succeeded ;;
    exit:*) state=failed ;;
    esac
}

# settle DIR WORD: the end of a job whose runner is gone: WORD becomes its result, its secrets are removed except
# those that the new try in $keep (one path a line) was given under the same name.
settle() {
    [ ! -s "$1/exit" ] || return 0
    remove_listed "$1"
    write_line "$1/exit" "$2"
    agent_journal "job $2 ${1#"$jobs/"}"
}

# remove_listed DIR [FILE]: the files that its job has to take away, except those in $keep; and FILE with them, if there are
# any.
remove_listed() {
    listed=$1/remove
    shift
    [ -e "$listed" ] || return 0
    there=no
    while IFS= read -r file; do
        case $line_break${keep:-} in
        *"$line_break$file$line_break"*) continue ;;
        esac
        [ ! -e "$file" ] && [ ! -L "$file" ] || there=yes
        set -- "$@" "$file"
    done <"$listed"
    [ "$there" = no ] || rm -f -- "$@"
}

lock_jobs() {
    make_folder "$jobs"
    agent_lock jobs 60 70
}

# read_line FILE: sets LINE to the first one; empty where there is none.
read_line() {
    LINE=
    { IFS= read -r LINE <"$1"; } 2>/dev/null || true
}

# --- generations ---------------------------------------------------------------------------------------------

# highest_generation STEP: sets generation (0: none).
highest_generation() {
    generation=0
    for folder in "$jobs/$1"/*/; do
        number=${folder%/}
        number=${number##*/}
        if is_number "$number" && [ "$number" -gt "$generation" ]; then
            generation=$number
        fi
    done
}

job_open() {
    [ $# -eq 2 ] || usage 'job open STEP EPOCH'
    is_plain "$1" || fail 2 "'$1' is not a step's name"
    lock_jobs
    highest_generation "$1"
    if [ "$generation" -eq 0 ]; then
        generation=1
    elif [ -s "$jobs/$1/$generation/done" ]; then
        read_line "$jobs/$1/$generation/done"
        [ "$LINE" = "$2" ] || generation=$((generation + 1))
    fi
    make_folder "$jobs/$1/$generation"
    printf '%s\n' "$generation"
}

job_close() {
    [ $# -eq 2 ] || usage 'job close STEP/N EPOCH'
    parse_id "$1/x"
    [ -d "$jobs/$1" ] || fail 2 "there is no generation $1"
    lock_jobs
    write_fresh_line "$jobs/$1/done" "$2"
}

# --- start and run -------------------------------------------------------------------------------------------

# check_line TEXT
check_line() {
    case $1 in
    *"$line_break"*) fail 2 "line break in '$1'" ;;
    esac
}

# Sets remove, mark and unmark (a line for each) to what the arguments ask for, and `used` to how many of them it took.
parse_orders() {
    remove='' mark='' unmark=''
    used=0
    while [ $# -ge 2 ] && [ "$1" != -- ]; do
        check_line "$2"
        case $1 in
        --remove)
            case $2 in
            /*) remove=$remove$2$line_break ;;
            *) fail 2 "--remove: '$2' is not an absolute path" ;;
            esac
            ;;
        --mark)
            case $2 in
            *=*) parse_mark "${2%%=*}" ;;
            *) fail 2 "--mark: '$2' is not KEY=VALUE" ;;
            esac
            mark=$mark$2$line_break
            ;;
        --unmark)
            parse_mark "$2"
            unmark=$unmark$2$line_break
            ;;
        *) usage 'job start STEP/N/NAME ATTEMPT [--remove FILE]... [--mark KEY=VALUE]... [--unmark KEY]... -- SCRIPT...' ;;
        esac
        used=$((used + 2))
        shift 2
    done
    [ $# -ge 2 ] || usage 'job start STEP/N/NAME ATTEMPT [OPTION...] -- SCRIPT [ARG...]'
}

# keep_order NAME TEXT: what the job's folder says of it, by now.
keep_order() {
    if [ -n "$2" ]; then
        printf '%s' "$2" >"$job_dir/$1"
    else
        remove_files "$job_dir/$1"
    fi
}

# drop_files: those that the job would have taken away, had it run.
drop_files() {
    set --
    while IFS= read -r file; do
        [ -z "$file" ] || set -- "$@" "$file"
    done <<END
$remove
END
    remove_files "$@"
}

# is_ending DIR: whether its runner reads the list of files to remove for the last time, or has.
is_ending() {
    LINE=
    # It is the first line where a kill has kept the script from beginning.
    { { read -r LINE && [ "$LINE" = ending ]; } || read -r LINE; } 2>/dev/null <"$1/script" && [ "$LINE" = ending ]
}

# add_files: those were sent once more while the job uses them: they go when it ends. First they are added, then this looks
# whether it is ending, which its runner says before it reads the list: so one of the two removes them.
add_files() {
    printf '%s' "$remove" >>"$job_dir/remove"
    is_ending "$job_dir" || return 0
    polls=0
    while job_state "$job_dir" && [ "$state" = running ] && [ "$polls" -le 1000 ]; do
        polls=$((polls + 1))
        sleep 0.01
    done
    drop_files
}

# find_script NAME: sets script. A shipped script looks for its override itself.
find_script() {
    is_plain "$1" || fail 2 "'$1' is not a script's name"
    for script in "$ENSTRATUS/bin/$1" "$ENSTRATUS/custom/bin/$1"; do
        [ ! -f "$script" ] || return 0
    done
    fail 2 "there is no script $1 in $ENSTRATUS/bin or $ENSTRATUS/custom/bin"
}

# archive_try DIR: an ended try makes room for the next.
archive_try() {
    try=1
    while [ -e "$1.try-$try" ]; do
        try=$((try + 1))
    done
    mv -T "$1" "$1.try-$try"
}

# await_runner DIR: waits until some runner has won the job.
await_runner() {
    polls=0
    while [ ! -e "$1/runner" ]; do
        polls=$((polls + 1))
        [ "$polls" -le 1000 ] || fail 70 "the job did not begin within 10 s: $1"
        sleep 0.01
    done
}

# is_of_session: whether this process is counted to a login.
is_of_session() {
    while IFS= read -r group; do
        case $group in
        */session-*.scope*) return 0 ;;
        esac
    done </proc/self/cgroup
    return 1
} 2>/dev/null

# logout_kills: whether this login's end takes with it whatever the login has started, also a session of its own
# (KillUserProcesses in logind.conf). A service that a job starts has to stay.
logout_kills() {
    is_of_session || return 1
    command -v systemd-run >/dev/null || return 1
    told=$(busctl --timeout=5 get-property org.freedesktop.login1 /org/freedesktop/login1 \
        org.freedesktop.login1.Manager KillUserProcesses 2>/dev/null) || return 1
    [ "$told" = 'b true' ]
}

job_start() {
    [ $# -ge 4 ] || usage 'job start STEP/N/NAME ATTEMPT [OPTION...] -- SCRIPT [ARG...]'
    parse_id "$1"
    case $id_name in
    *.try-*) fail 2 "'$1' is the name of an old try" ;;
    esac
    id=$1
    attempt=$2
    shift 2
    command -v setsid >/dev/null || fail 70 "setsid is missing: install util-linux"
    [ -z "${GANTRY_JOB_SECONDS:-}" ] || is_number "$GANTRY_JOB_SECONDS" ||
        fail 2 "GANTRY_JOB_SECONDS: '$GANTRY_JOB_SECONDS' is not a number of seconds"
    parse_orders "$@"
    shift "$((used + 1))"
    find_script "$1"
    shift

    lock_jobs
    job_state "$job_dir"
    keep=$remove
    [ "$state" != lost ] || settle "$job_dir" lost
    keep=
    case $state in
    succeeded)
        drop_files
        echo succeeded
        return
        ;;
    running)
        [ -z "$remove" ] || add_files
        # From now on it is this try's. One that is being killed is not: this try may have it run again.
        [ -e "$job_dir/killing" ] || write_line "$job_dir/attempt" "$attempt"
        echo running
        return
        ;;
    failed | killed | lost)
        read_line "$job_dir/attempt"
        if [ "$LINE" = "$attempt" ]; then
            drop_files
            echo failed
            return
        fi
        archive_try "$job_dir"
        ;;
    esac
    # An existing folder without a runner: a start that broke off. The folder stays, since its runner may yet wake.
    make_folder "$job_dir"
    printf '%s\n' "$attempt" >"$job_dir/attempt"
    keep_order remove "$remove"
    keep_order mark "$mark"
    keep_order unmark "$unmark"
    : >>"$job_dir/log"
    set -- "$ENSTRATUS/bin/job" run-detached "$id" "$script" "$@"
    if logout_kills; then
        set -- systemd-run --quiet --scope --collect --slice=system.slice -- "$@"
    fi
    # Not `&`: that would have the script and its daemons ignore the interrupt signal forever. And the runner holds
    # the folder itself, not its name, which a later try takes over. It lets go of this output once it has won the job, or
    # lost it.
    # shellcheck disable=SC2034 # it is waited for, and says nothing
    won=$(cd "$job_dir" && exec setsid -f "$@" </dev/null 2>/dev/null 9>&-) || fail 70 "cannot start $script"
    await_runner "$job_dir"
    echo started
}

# write_marks: sets code to 74 when one cannot be written.
write_marks() {
    [ -e mark ] || return 0
    while IFS= read -r line; do
        mark_file=$marks/${line%%=*}
        if ! { make_folder "${mark_file%/*}" && write_fresh_line "$mark_file" "${line#*=}"; } 2>>log; then
            printf 'job: cannot write the mark %s\n' "${line%%=*}" >>log
            code=74
        fi
    done <mark
}

# drop_marks: those that are not true any more once the job has begun.
drop_marks() {
    [ -e unmark ] || return 0
    set --
    while IFS= read -r key; do
        set -- "$@" "$marks/$key"
    done <unmark
    remove_files "$@"
}

# watch_time SECONDS: the watchdog of the job in the working folder, a process beside its runner. It becomes a program of its
# own when the time is up only, which is hardly ever.
watch_time() {
    # What is sent to the whole group must not lift the limit.
    trap '' TERM INT HUP
    # The file is opened again: what was inherited would be the runner's own lock.
    exec 8<runner
    late=0
    flock -s -w "$1" 8 || late=$?
    [ "$late" -ne 0 ] || exit 0
    # In a session of its own, and no descendant of the runner: it is no part of what it ends.
    exec setsid -f "$ENSTRATUS/bin/job" expire "$1" "$late"
}

# The runner: leader of the job's session, its working folder is the job's. As long as it lives it holds a lock on the
# file `runner`, by which others wait for its end.
job_run_detached() {
    agent_identity $$
    # Of a dead process that had the same number, it may be the file `runner` itself, by its other name.
    remove_files "runner.$$"
    exec 8>"runner.$$"
    printf '%s\n' "$IDENTITY" >&8
    flock 8 || true
    # The one place that decides who runs the job. A lock is the file's, whatever its name.
    if ! ln "runner.$$" runner 2>/dev/null; then
        rm -f "runner.$$"
        return 0
    fi
    # Who started it goes on.
    exec >/dev/null
    agent_clock
    GANTRY_JOB=$1
    export GANTRY_JOB
    shift
    limit=${GANTRY_JOB_SECONDS:-}
    unset GANTRY_JOB_SECONDS
    if [ -n "$limit" ]; then
        watch_time "$limit" </dev/null >/dev/null 2>&1 &
    fi
    # A signal to the whole group must leave someone to write down how it ended. The script gets the default back.
    trap : TERM INT HUP
    drop_marks
    # A script of the agent writes these lines itself.
    case $1 in
    "$ENSTRATUS/custom/bin"/*) agent_journal "begin $*" ;;
    esac
    set +e
    (
        # A kill that came before this process found no script to end, and waits for the runner. One that comes after
        # finds this process.
        [ ! -e killing ] || exit 143
        # One write: a reader finds all of it, or nothing.
        agent_identity self && printf '%s\n' "$IDENTITY" >script
        cd /
        exec "$@"
    ) </dev/null >>log 2>&1 8>&-
    code=$?
    set -e
    word='exit'
    if [ -e killing ]; then
        # Even if it then ended well: it is unknown what it left out.
        word=killed
        agent_journal "killed ${1##*/} exit=$code"
    elif [ "$code" -eq 0 ]; then
        write_marks
    fi
    case $1 in
    "$ENSTRATUS/custom/bin"/*) agent_journal "end $1 exit=$code" ;;
    esac
    # A `start` that adds to the files to remove from now on removes them itself (add_files), so this needs no lock.
    # A line, since another file would cost more.
    { printf 'ending\n' >>script; } 2>>log || true
    remove_listed . "runner.$$"
    write_fresh_line exit "$word $code"
}

# --- watch ---------------------------------------------------------------------------------------------------

# print_log OFFSET: of an ended job, from there on. Many say nothing.
print_log() {
    [ ! -s log ] || tail -c "+$(($1 + 1))" log
}

# await_input IDENTITY: returns when standard input ends, and ends the process of that identity if it still runs.
await_input() {
    while read -r _; do :; done
    ! agent_identity "${1%% *}" || [ "$IDENTITY" != "$1" ] || kill "${1%% *}"
}

# follow_attended OFFSET: the log from there on, until the job has ended, or standard input has. False: the follower is
# gone.
follow_attended() {
    exec 4<&0 8<runner
    # Most have ended before there would be anything to watch.
    if flock -s -w 0.3 8 && job_state . && [ "$state" != running ]; then
        print_log "$1"
        return
    fi
    exec 8<runner
    # The runner lets go when it ends, whatever has ended it.
    flock -s 8 4<&- </dev/null &
    end=$!
    # It may have ended by now. Its number is no other's as long as it is not waited for.
    agent_identity "$end" || IDENTITY=$end
    await_input "$IDENTITY" <&4 4<&- 8<&- 2>/dev/null &
    input=$!
    # It looks at the log when something is written there (inotify), and five times a second whether it is to end: as soon
    # as nothing waits for the input any more. A signal could end it between reading and writing.
    tail -s 0.2 --pid="$input" -c "+$(($1 + 1))" -f log 4<&- 8<&- </dev/null &
    tail=$!
    wait "$end" || true
    while agent_identity "$input" && job_state . && [ "$state" = running ]; do
        # The script has outlived its runner, or that is one of an earlier Gantry's, which holds no lock.
        sleep 0.2
    done
    if agent_identity "$input"; then
        kill "$input" 2>/dev/null || true
        # What has ended and is not waited for would still be there for tail.
        wait "$input" || true
        # No other process may send more before it is gone.
        wait "$tail"
    else
        kill "$tail" 2>/dev/null || true
        wait "$tail" || true
        return 1
    fi
}

# follow_alone OFFSET: the same for an earlier Gantry, whose input has ended when it begins.
follow_alone() {
    exec 3<log
    agent_stat $$
    caller=$STAT_PARENT
    tail -c "+$(($1 + 1))" <&3
    while :; do
        # First the state, then the rest of the log: in this order nothing is missed.
        job_state .
        # From where the last reader stopped: the descriptor keeps the place.
        cat <&3
        [ "$state" = running ] || return 0
        agent_stat $$
        # The connection is gone.
        [ "$STAT_PARENT" = "$caller" ] || return 1
        sleep 0.2
    done
}

job_follow() {
    case $#:${3:-attended} in
    2:* | 3:attended) ;;
    *) usage 'job follow STEP/N/NAME OFFSET [attended]' ;;
    esac
    parse_id "$1"
    is_number "$2" || fail 2 "'$2' is not an offset in bytes"
    if [ ! -e "$job_dir/runner" ]; then
        echo 'job: unknown' >&2
        return 126
    fi
    # By working folder, so that a later try cannot slip in.
    cd "$job_dir"
    job_state .
    if [ "$state" != running ]; then
        print_log "$2"
    elif [ $# -eq 3 ]; then
        follow_attended "$2" || return 1
        job_state .
    else
        follow_alone "$2" || return 1
    fi
    case $state in
    succeeded) echo 'job: exit 0' >&2 ;;
    failed) echo "job: exit $code" >&2 ;;
    killed) echo "job: killed $code" >&2 ;;
    *)
        settle "$job_dir" lost
        echo 'job: lost' >&2
        return 125
        ;;
    esac
    [ "$state:${code:-0}" != killed:0 ] || return 143
    return "${code:-0}"
}

job_status() {
    [ $# -eq 1 ] || usage 'job status STEP/N/NAME'
    parse_id "$1"
    job_state "$job_dir"
    case $state in
    failed | killed) echo "$state $code" ;;
    *) echo "$state" ;;
    esac
}

# --- kill and prune ------------------------------------------------------------------------------------------

# members PID KNOWN: the live processes of that session and all descendants of its leader, without the leader, as
# PID:START. KNOWN is what it said before: those stay members when their parents die before them.
members() {
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v leader="$1" -v known="$2" '
        BEGIN {
            count = split(known, list)
            for (i = 1; i <= count; i++) before[list[i]] = 1
        }
        {
            pid = $1
            sub(/^.*\) /, "")
            if ($1 ~ /[ZX]/) next
            parent[pid] = $2
            name[pid] = pid ":" $20
            if ($4 == leader || name[pid] in before) found[pid] = 1
        }
        END {
            found[leader] = 1
            do {
                grown = 0
                for (pid in parent)
                    if (!(pid in found) && (parent[pid] in found)) {
                        found[pid] = 1
                        grown = 1
                    }
            } while (grown)
            for (pid in found) if (pid != leader && pid in name) print name[pid]
        }' | tr '\n' ' '
}

# send SIGNAL MEMBERS
send() {
    for member in $2; do
        kill -s "$1" "${member%:*}" 2>/dev/null || true
    done
}

job_kill() {
    case $# in
    1 | 2) ;;
    *) usage 'job kill STEP/N/NAME [GRACE_SECONDS]' ;;
    esac
    parse_id "$1"
    is_number "${2:-10}" || fail 2 "'$2' is not a number of seconds"
    job_state "$job_dir"
    if [ "$state" = running ] && is_mine; then
        end_job "${2:-10}"
    fi
    job_status "$1"
}

# is_mine: false if another try than the one that wants to kill it has asked for the job since.
is_mine() {
    read_line "$job_dir/attempt"
    [ -z "${GANTRY_JOB_ATTEMPT:-}" ] || [ "$LINE" = "$GANTRY_JOB_ATTEMPT" ]
}

# job_expire SECONDS CODE: the watchdog of the job in the working folder has waited for the runner's end in vain: CODE is
# flock's.
job_expire() {
    [ $# -eq 2 ] || usage 'job expire SECONDS'
    # Anything else but that the time is up is no reason to end a job.
    [ "$2" -eq 1 ] || sleep "$1"
    # The folder itself, not its name, which a later try may have taken over.
    job_dir=.
    job_state .
    [ "$state" = running ] || return 0
    # What has begun this process is about to end. As long as it has not, this is a descendant of the runner, which would
    # be ended too.
    read -r leader _ <runner
    while agent_is_ancestor "$leader"; do
        sleep 0.05
    done
    agent_journal "job is ended after $1 s"
    end_job 10
}

# end_job GRACE_SECONDS: ends the running job in job_dir.
end_job() {
    read -r leader _ <"$job_dir/runner"
    : >"$job_dir/killing"
    signal=TERM
    polls=$(($1 * 5))
    targets=$(members "$leader" '')
    send TERM "$targets"
    while targets=$(members "$leader" "$targets") && [ -n "$targets" ]; do
        if [ "$polls" -le 0 ]; then
            [ "$signal" = TERM ] || fail 70 "still alive after KILL: $targets"
            signal=KILL
            polls=50
        fi
        # Each time again: they may have forked meanwhile.
        [ "$signal" = TERM ] || send KILL "$targets"
        polls=$((polls - 1))
        sleep 0.2
    done
    # The runner writes down the end, unless someone killed it too.
    polls=0
    while [ ! -s "$job_dir/exit" ]; do
        polls=$((polls + 1))
        [ "$polls" -le 3000 ] || fail 70 "its runner does not end: process $leader"
        if agent_alive "$job_dir/runner"; then
            sleep 0.02
        else
            settle "$job_dir" 'killed 137'
        fi
    done
}

# step_running DIR: true if a job of the step runs.
step_running() {
    for runner in "$1"/*/*/runner; do
        [ -e "$runner" ] || continue
        job_state "${runner%/*}"
        [ "$state" != running ] || return 0
    done
    return 1
}

job_prune() {
    [ $# -eq 1 ] || usage 'job prune DAYS'
    days=$1
    is_number "$days" || fail 2 "'$days' is not a number of days"
    lock_jobs
    for folder in "$jobs"/*/; do
        folder=${folder%/}
        [ -d "$folder" ] || continue
        [ -z "$(find "$folder" -mtime "-$days" -print -quit)" ] || continue
        step_running "$folder" || rm -rf -- "$folder"
    done
}

# job COMMAND [ARG...]
job() {
    job_command=${1:-}
    [ $# -eq 0 ] || shift
    case $job_command in
    open | start | follow | status | kill | close | prune | expire) "job_$job_command" "$@" ;;
    run-detached) job_run_detached "$@" ;;
    *) usage 'job open|start|follow|status|kill|close|prune ...' ;;
    esac
}
