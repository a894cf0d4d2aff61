# shellcheck shell=sh
# A replicant's side: copying the master, and following it from there on. Sourced behind service.sh, never run.
#
# Each instance has an id, which travels with a copy. So a replicant knows whether a master is the one that it is a
# copy of: when it is not (the master's server was lost, and a new one began from the dump), what the replicant holds
# may be all that is left, and it is not touched.
#
# shellcheck disable=SC2154 # home, settings and data come from service.sh

# read_primary FILE: sets primary, primary_port, replication_user, replication_password.
# shellcheck disable=SC2034 # they are for the functions below
read_primary() {
    primary=$(fact "$1" primaryAddress '[0-9A-Fa-f.:]+') || exit
    primary_port=$(port_of "$1") || exit
    replication_user=$(fact "$1" replication.user '.{1,80}') || exit
    replication_password=$(value "$1" replication.password)
    [ -n "$replication_password" ] || fail 2 "$1: replication.password= is missing or empty"
}

# Options for a client that asks the master. They travel on standard input: nothing of them is on a disk or in an
# argument list.
primary_options() {
    printf '[client]\nhost=%s\nport=%s\nprotocol=tcp\nloose-connect-timeout=10\n' "$primary" "$primary_port"
    printf '%s\n' "$replication_user" | sed 's/[\\"]/\\&/g; s/.*/user="&"/'
    printf '%s\n' "$replication_password" | sed 's/[\\"]/\\&/g; s/.*/password="&"/'
}

# follow_primary: makes this instance a copy of the master unless it is one, and has it follow from there.
follow_primary() {
    source_id=$(primary_options | mariadb --defaults-file=/dev/stdin --batch --skip-column-names \
        --execute='SELECT id FROM enstratus.instance') ||
        fail 7 "cannot ask the master at $primary as $replication_user (above)"
    [ -n "$source_id" ] || fail 7 "the instance at $primary has no id: it was never started by enstratus-start"
    state=$(sql_files replica-state -- source "$source_id") || fail 7 'cannot ask what this instance is a copy of'
    case $state in
    copy) copy_primary ;;
    follow) say "this is a copy of the master at $primary already" ;;
    other)
        fail 7 "the master at $primary is not the instance that this is a copy of: its data would replace the ones here.
Save what you need of $data; then terminate this server, and the next launch makes a new copy on a new one"
        ;;
    *)
        fail 7 "this instance has datasources of its own, which a copy of the master at $primary would replace.
Save what you need of $data; then terminate this server, and the next launch makes a copy on a new one"
        ;;
    esac
    sql_files replica-follow -- host "$primary" port "$primary_port" user "$replication_user" \
        password "$replication_password" || fail 7 "cannot follow the master at $primary (above)"
    say "following the master at $primary"
}

# copy_primary: what is half-copied when this fails is thrown away by the next try.
copy_primary() {
    say "copying the master at $primary"
    sql_files replica-begin -- source "$source_id" || fail 7 'cannot make room for the copy (above)'
    dumped=$(mktemp) || fail 7 'cannot write to the folder for temporary files'
    # The exit code of a pipe is its last command's: the first one's travels beside it.
    {
        dump_code=0
        primary_options | mariadb-dump --defaults-file=/dev/stdin --all-databases --ignore-database=mysql \
            --ignore-database=sys --ignore-table=enstratus.access --ignore-table=enstratus.replica \
            --single-transaction --master-data=1 --gtid --skip-triggers --hex-blob 9>&- || dump_code=$?
        printf '%s\n' "$dump_code" >"$dumped"
    } | sql || fail 7 "the copy of the master at $primary cannot be loaded (above)"
    read -r dump_code <"$dumped"
    rm -f "$dumped"
    [ "$dump_code" -eq 0 ] || fail 7 "the master at $primary cannot be copied (above)"
    sql_files replica-end -- source "$source_id" || fail 7 'cannot note that the copy is complete'
    say "copied the master at $primary"
}

# is_replicant: whether my.cnf is that of one.
is_replicant() {
    grep -q '^read-only' "$settings"
}

# replica_now: OK, or why this replicant does not follow its master.
replica_now() {
    as_root_account mariadb --connect-timeout=5 --skip-local-infile --vertical --execute='SHOW REPLICA STATUS' |
        awk -F': ' '
            { sub(/^ +/, "") }
            $1 == "Slave_IO_Running" { reading = $2 }
            $1 == "Slave_SQL_Running" { applying = $2 }
            $1 == "Last_IO_Error" { reads = substr($0, length($1) + 3) }
            $1 == "Last_SQL_Error" { applies = substr($0, length($1) + 3) }
            END {
                if (reading == "") print "this replicant follows no master"
                else if (applying != "Yes") print "cannot do what its master did: " applies
                else if (reading != "Yes") print "cannot read from its master (" reading "): " reads
                else print "OK"
            }'
}

# replica_answer: the same, with a moment for a link that is just being made.
replica_answer() {
    replica_deadline=$(($(date +%s) + ${REPLICA_PATIENCE_SECONDS:-6}))
    replica_said=$(replica_now)
    while [ "$replica_said" != OK ] && [ "$(date +%s)" -lt "$replica_deadline" ]; do
        sleep 0.2
        replica_said=$(replica_now)
    done
    printf '%s\n' "$replica_said"
}
