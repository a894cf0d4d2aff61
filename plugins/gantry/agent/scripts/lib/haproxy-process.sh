# shellcheck shell=sh
# Questions to the HAProxy that runs on this server. Sourced, after haproxy.sh.
pid_file=$GANTRY_ROOT/run/haproxy.pid

# ask COMMAND: prints the answer of HAProxy's socket.
ask() {
    # shellcheck disable=SC2154 # set by haproxy.sh
    [ -S "$socket" ] || return 0
    if command -v socat >/dev/null; then
        printf '%s\n' "$1" | socat -t 5 - "UNIX-CONNECT:$socket"
    elif command -v perl >/dev/null; then
        perl -MIO::Socket::UNIX -e '
            my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or exit 1;
            print $socket "$ARGV[1]\n";
            $socket->flush;
            print while <$socket>;' "$socket" "$1"
    elif command -v python3 >/dev/null; then
        python3 -c '
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    connection.sendall(sys.argv[2].encode() + b"\n")
    sys.stdout.write(connection.makefile().read())' "$socket" "$1"
    elif command -v nc >/dev/null; then
        printf '%s\n' "$1" | nc -w 5 -U "$socket"
    else
        fail 21 "nothing here can talk to $socket: install socat"
    fi 2>/dev/null || true
}

# The sum of the configuration that new connections use.
loaded_sum() {
    ask 'show info' | sed -n 's/^description: gantry-//p'
}

under_systemd() {
    [ -z "$GANTRY_ROOT" ] && [ -d /run/systemd/system ] && systemctl cat haproxy.service >/dev/null 2>&1
}

# Sets master to the process id of a running HAProxy. False: none runs.
find_master() {
    master=
    if under_systemd; then
        master=$(systemctl show --property=MainPID --value haproxy.service)
        [ "$master" != 0 ]
    else
        { read -r master <"$pid_file" && read -r name <"/proc/$master/comm"; } 2>/dev/null || return 1
        agent_identity "$master" && [ "$name" = haproxy ]
    fi
}
