# shellcheck shell=sh
# What granting and revoking share. Sourced behind service.sh, never run.

# read_access FILE: sets datasource, database, grantee, user, addresses; the server has to answer.
# shellcheck disable=SC2034 # they are for the script that sources this
read_access() {
    readable "$1"
    require_root
    datasource=$(fact "$1" dataSource '.{1,64}') || exit
    database=$(fact "$1" database '[A-Za-z][A-Za-z0-9_]{0,49}') || exit
    user=$(fact "$1" user '.{1,80}') || exit
    case $user in
    root | mysql | mariadb.sys | PUBLIC) fail 2 "$1: user=$user is an account of the database itself" ;;
    esac
    grantee=$(value "$1" grantee)
    addresses=$(value "$1" addresses | tr -d ' ')
    matches "$addresses" '[0-9A-Fa-f.:,]*' || fail 2 "$1: addresses= may hold addresses and commas only"
    server_pid >/dev/null || fail 4 'MariaDB does not run: start the service first'
}
