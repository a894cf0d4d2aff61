# shellcheck shell=sh
# HAProxy's configuration, made from the folders of the services that are balanced on this server; and the changes of those
# folders. No process is touched, nothing outside of $proxy and $work is written. Sourced, after agent.sh, by
# proxy-haproxy, which makes these changes, and by proxy-haproxy-preview, which makes them in a copy.
#
# A service's folder, /enstratus/ws/proxy/SERVICE: enstratus.cfg (put there by the control plane), names, ssl.pem
# (0600), nodes/ADDRESS_PORT. In enstratus.cfg count: port.1.publicPort (default 80, or 443 with a certificate);
# port.1.protocol (tcp is passed through unread, and so is https where the balancer has no certificate of its own;
# where it has one, it asks the nodes by HTTPS without looking at their certificates); balancedServices (folders of
# others go). /etc/haproxy/haproxy.cfg is made again from all these folders each time: same nodes, same bytes. It listens
# on all addresses of the server, since a public one may live in a router in front. Services on one public port are distinguished by their names.
#
# The caller sets work, a folder of its own, and calls prepare_work.
work=
proxy=$ENSTRATUS/ws/proxy
# shellcheck disable=SC2034 # for the caller
config=$GANTRY_ROOT/etc/haproxy/haproxy.cfg
socket=$GANTRY_ROOT/run/haproxy/admin.sock
most_words=20

# --- services and nodes --------------------------------------------------------------------------------------

# fact SERVICE KEY: the value of a line of its enstratus.cfg.
fact() {
    [ -r "$proxy/$1/enstratus.cfg" ] || return 0
    tr -d '\r' <"$proxy/$1/enstratus.cfg" |
        awk -v key="$2=" 'index($0, key) == 1 { print substr($0, length(key) + 1); exit }'
}

# protocol SERVICE: the protocol of its nodes, in lower case.
protocol() {
    fact "$1" port.1.protocol | tr '[:upper:]' '[:lower:]'
}

# One line per service, "PORT KIND SERVICE", sorted.
list_services() {
    for names in "$proxy"/*/names; do
        [ -e "$names" ] || continue
        service=${names%/names}
        service=${service##*/}
        port=$(fact "$service" port.1.publicPort)
        kind=http
        if [ -e "$proxy/$service/ssl.pem" ]; then
            kind=https
        else
            case $(protocol "$service") in
            tcp | https) kind=tcp ;;
            esac
        fi
        case $kind:$port in
        https:) port=443 ;;
        *:) port=80 ;;
        esac
        is_number "$port" || fail 21 "the public port of $service is '$port'"
        printf '%s %s %s\n' "$port" "$kind" "$service"
    done | LC_ALL=C sort -k1,1n -k3,3
}

# --- haproxy.cfg ---------------------------------------------------------------------------------------------

print_global() {
    cat <<END
# Made by Gantry's agent from $proxy: changes here are lost at the next startProxy or stopProxy.
global
    description gantry-@SUM@
    stats socket $socket mode 600 level admin expose-fd listeners
    stats timeout 30s
    hard-stop-after 15m
END
    if [ -S /dev/log ]; then
        printf '    log /dev/log local0 notice\n'
    fi
    if id haproxy >/dev/null 2>&1; then
        printf '    user haproxy\n    group haproxy\n'
    fi
    if [ -d "$GANTRY_ROOT/var/lib/haproxy" ]; then
        printf '    chroot %s/var/lib/haproxy\n' "$GANTRY_ROOT"
    fi
    cat <<END

defaults
    log global
    mode http
    option dontlognull
    option redispatch
    retries 3
END
    # A visitor whose connection idles may send its next request in the very moment that a reload would close it:
    # the old worker answers once more, and closes then.
    if haproxy_has 2.5; then
        printf '    option idle-close-on-response\n'
    fi
    cat <<END
    balance roundrobin
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 15s
    timeout http-keep-alive 15s
    timeout queue 30s
    default-server inter 2s fall 3 rise 2
END
}

# haproxy_has VERSION: whether the HAProxy here is of that version at least.
haproxy_has() {
    version=$(haproxy -v 2>/dev/null | sed -n 's/^HA-*Proxy version \([0-9.]*\).*/\1/p')
    [ -n "$version" ] && [ "$(printf '%s\n%s\n' "$1" "$version" | LC_ALL=C sort -V | head -n 1)" = "$1" ]
}

# print_listen PORT SERVICES: all addresses of the server. IPv6 ones only where the server is known by one: a machine
# without IPv6 could not listen on them.
print_listen() {
    for service in $2; do
        case $(fact "$service" addresses) in
        *:*)
            printf ':::%s v4v6' "$1"
            return
            ;;
        esac
    done
    printf '*:%s' "$1"
}

# print_frontend PORT
print_frontend() {
    kinds=$(awk -v port="$1" '$1 == port { print $2 }' "$work/services" | sort -u)
    members=$(awk -v port="$1" '$1 == port { print $3 }' "$work/services")
    count=$(printf '%s\n' "$members" | wc -l)
    case $kinds in
    http | https) ;;
    tcp) [ "$count" -eq 1 ] || fail 21 "only one tcp service can have port $1, not $(echo "$members" | tr '\n' ' ')" ;;
    *) fail 21 "port $1 is asked for with different protocols ($(echo "$kinds" | tr '\n' ' ')) by $(echo "$members" | tr '\n' ' ')" ;;
    esac
    printf '\nfrontend port-%s\n' "$1"
    if [ "$kinds" = https ]; then
        bind="bind $(print_listen "$1" "$members") ssl"
        for service in $members; do
            bind="$bind crt $proxy/$service/ssl.pem"
            # The file's path stays the same when the certificate is renewed; the configuration must not.
            printf '    # %s: certificate %s\n' "$service" "$(sha256sum <"$proxy/$service/ssl.pem" | cut -c 1-16)"
        done
        if [ "$count" -gt "$most_words" ]; then
            list_certificates "$1"
            bind="bind *:$1 ssl crt-list $proxy/certificates-$1"
        fi
        printf '    %s alpn h2,http/1.1\n    http-request set-header X-Forwarded-Proto https\n' "$bind"
    else
        printf '    bind %s\n' "$(print_listen "$1" "$members")"
    fi
    if [ "$kinds" = tcp ]; then
        printf '    mode tcp\n'
    else
        printf '    option forwardfor\n'
    fi
    if [ "$count" -eq 1 ]; then
        printf '    default_backend %s\n' "$members"
        return
    fi
    twice=$(for service in $members; do
        tr ' ' '\n' <"$proxy/$service/names" | awk -v service="$service" 'NF { print $1, service }'
    done | awk '$1 in first { print $1 ": " first[$1] " and " $2; exit } { first[$1] = $2 }')
    [ -z "$twice" ] || fail 21 "two services on port $1 have the name $twice"
    for service in $members; do
        print_names "$service"
    done
}

# print_names SERVICE: whose requests it gets. HAProxy takes 64 words and 2,048 characters a line, so in several lines.
print_names() {
    awk -v rule="    use_backend $1 if { req.hdr(host),field(1,:),lower -m str" -v words="$most_words" -v room=1500 '
        function flush() {
            if (count) print rule line " }"
            line = ""
            count = 0
        }
        {
            for (at = 1; at <= NF; at++) {
                if (count == words || length(line) + length($at) > room) flush()
                line = line " " $at
                count++
            }
        }
        END { flush() }' "$proxy/$1/names"
}

# list_certificates PORT: in a file, what is too much for a line. Of the services in $members.
list_certificates() {
    changing "certificates-$1"
    for service in $members; do
        printf '%s\n' "$proxy/$service/ssl.pem"
    done >"$proxy/certificates-$1"
}

# print_backend KIND SERVICE
print_backend() {
    printf '\nbackend %s\n' "$2"
    [ "$1" != tcp ] || printf '    mode tcp\n'
    options=check
    if [ "$1" = https ] && [ "$(protocol "$2")" = https ]; then
        options='check ssl verify none'
    fi
    for node in "$proxy/$2"/nodes/*; do
        [ -e "$node" ] || continue
        read -r address port <"$node"
        case $address in
        *:*) address="[$address]" ;;
        esac
        printf 'server %s %s:%s %s\n' "$(printf '%s' "${node##*/}" | tr ':' '-')" "$address" "$port" "$options"
    done | LC_ALL=C sort | sed 's/^/    /'
}

# Writes $work/haproxy.cfg and sets sum.
make_config() {
    list_services >"$work/services"
    {
        print_global
        cut -d ' ' -f 1 "$work/services" | uniq >"$work/ports"
        while read -r port; do
            print_frontend "$port"
        done <"$work/ports"
        while read -r _ kind service; do
            print_backend "$kind" "$service"
        done <"$work/services"
    } >"$work/draft"
    sum=$(sha256sum <"$work/draft" | cut -c 1-32)
    sed "s/@SUM@/$sum/" "$work/draft" >"$work/haproxy.cfg"
    chmod 640 "$work/haproxy.cfg"
}

# The lines that HAProxy's refusal is about, as far as it says so: each tells by its names whose it is.
refused_lines() {
    sed -n 's/.*haproxy\.cfg:\([0-9][0-9]*\)\].*/\1/p' "$work/check" | sort -un | head -n 5 |
        while read -r number; do
            awk -v number="$number" '
                /^(frontend|backend|global|defaults)/ { section = $0 }
                NR == number { sub(/^ +/, ""); printf "; in \"%s\": %s", section, substr($0, 1, 160); exit }
            ' "$work/haproxy.cfg"
        done
}

# --- changes of the folders ------------------------------------------------------------------------------------

# prepare_work: what is noted of changes.
prepare_work() {
    mkdir "$work/before"
    : >"$work/new"
    : >"$work/drain"
}

# changing PATH: to be called before a file below $proxy is written or removed.
changing() {
    if [ -e "$proxy/$1" ]; then
        mkdir -p "$work/before/$(dirname -- "$1")"
        cp -p "$proxy/$1" "$work/before/$1"
    else
        printf '%s\n' "$1" >>"$work/new"
    fi
}

# put PATH SOURCE_FILE MODE
put() {
    changing "$1"
    chmod "$3" "$2"
    mv -f "$2" "$proxy/$1"
}

# put_names SERVICE PRIMARY SECONDARY|NONE
put_names() {
    # The first is the primary one, the order of the others says nothing.
    names=$2
    case $3 in
    NONE | NULL | '') ;;
    *) names="$2 $(printf '%s' "$3" | tr ',' '\n' | grep . | LC_ALL=C sort -u | tr '\n' ' ')" ;;
    esac
    printf '%s\n' "${names% }" | tr '[:upper:]' '[:lower:]' >"$work/names"
    put "$1/names" "$work/names" 640
}

# put_node SERVICE ADDRESS PORT
put_node() {
    # A node is one address: with another port it is the same one, and it no longer listens on the one before.
    for node in "$proxy/$1/nodes/$2"_*; do
        [ ! -e "$node" ] || [ "${node##*/}" = "$2_$3" ] || leave "$node"
    done
    printf '%s %s\n' "$2" "$3" >"$work/node"
    put "$1/nodes/$2_$3" "$work/node" 640
}

# take_over SERVICE: names that it has got from another service on its port are not that one's any more. Each of them
# receives its own names alone, one after the other, and the newest call applies. Only among those that the control
# plane says are balanced here: it sees to it that no two of them have the same name in the end.
take_over() {
    known=$(fact "$1" balancedServices)
    [ -n "$known" ] || return 0
    list_services >"$work/services"
    awk -v service="$1" '
        $3 == service { port = $1 }
        { ports[$3] = $1 }
        END { for (each in ports) if (ports[each] == port && each != service) print each }
    ' "$work/services" >"$work/others"
    while read -r other; do
        case ,$known, in
        *",$other,"*) ;;
        *) continue ;;
        esac
        awk '
            NR == FNR { for (at = 1; at <= NF; at++) taken[$at]; next }
            { for (at = 1; at <= NF; at++) if (!($at in taken)) { printf "%s%s", space, $at; space = " " } }
            END { print "" }
        ' "$proxy/$1/names" "$proxy/$other/names" >"$work/left"
        if ! cmp -s "$work/left" "$proxy/$other/names"; then
            put "$other/names" "$work/left" 640
            say "names of $other are those of $1 now"
        fi
    done <"$work/others"
}

# leave NODE_FILE
leave() {
    path=${1#"$proxy/"}
    changing "$path"
    rm -f "$1"
    printf '%s/%s\n' "${path%%/*}" "$(printf '%s' "${1##*/}" | tr ':' '-')" >>"$work/drain"
}

# retire SERVICES: services that are not listed (separated by commas) belonged to a removed load balancer, or to one with
# another service now; their names and ports are free. Without a list, nothing is known.
retire() {
    [ -n "$1" ] || return 0
    for names in "$proxy"/*/names; do
        [ -e "$names" ] || continue
        former=${names%/names}
        former=${former##*/}
        case ,$1, in
        *",$former,"*) continue ;;
        esac
        for node in "$proxy/$former/nodes"/*; do
            [ ! -e "$node" ] || leave "$node"
        done
        for file in names ssl.pem enstratus.cfg; do
            [ -e "$proxy/$former/$file" ] || continue
            changing "$former/$file"
            rm -f "$proxy/$former/$file"
        done
        say "$former is not balanced here any more"
    done
}

# leave_all ADDRESS: no service has a node there any more.
leave_all() {
    for node in "$proxy"/*/nodes/"$1"_*; do
        [ -e "$node" ] || continue
        leave "$node"
        say "$1 leaves ${path%%/*}"
    done
}
