# shellcheck shell=sh
# What granting and revoking share. Sourced behind service.sh, never run.

# refuse_own_accounts FILE USER
refuse_own_accounts() {
    case $2 in
    root | mysql | mariadb.sys | PUBLIC) fail 2 "$1: user=$2 is an account of the database itself" ;;
    esac
}

# addresses_of FILE KEY: what it says, without spaces.
addresses_of() {
    addresses_found=$(value "$1" "$2" | tr -d ' ')
    matches "$addresses_found" '[0-9A-Fa-f.:,]*' || fail 2 "$1: $2= may hold addresses and commas only"
    printf '%s\n' "$addresses_found"
}

require_running() {
    server_pid >/dev/null || fail 4 'MariaDB does not run: start the service first'
}

# read_access FILE: sets datasource, database, grantee, user, addresses; the server has to answer.
# shellcheck disable=SC2034 # they are for the script that sources this
read_access() {
    readable "$1"
    require_root
    datasource=$(fact "$1" dataSource '.{1,64}') || exit
    database=$(fact "$1" database '[A-Za-z][A-Za-z0-9_]{0,49}') || exit
    user=$(fact "$1" user '.{1,80}') || exit
    refuse_own_accounts "$1" "$user"
    grantee=$(value "$1" grantee)
    addresses=$(addresses_of "$1" addresses) || exit
    require_running
}

# read_replicants FILE: sets user, password, addresses; the server has to answer.
# shellcheck disable=SC2034 # as above
read_replicants() {
    require_root
    user=$(fact "$1" replication.user '.{1,80}') || exit
    refuse_own_accounts "$1" "$user"
    password=$(value "$1" replication.password)
    [ -n "$password" ] || fail 2 "$1: replication.password= is missing or empty"
    addresses=$(addresses_of "$1" replication.replicants) || exit
    require_running
}
