# shellcheck shell=sh
# Shared by downloadFile and uploadFile: presigned URLs, which are secrets, and retries for a busy store. Sourced, never
# run, after agent.sh.
#
# Environment: GANTRY_DOWNLOADER (curl or wget; default: curl if there is one), GANTRY_RETRY_SECONDS (the first pause
# between tries, default 1, doubled each time).

# read_url FILE: sets url to the one line of FILE.
read_url() {
    require_file 20 "$1"
    IFS= read -r url <"$1" || [ -n "$url" ] || fail 20 "$1 is empty"
    case $url in
    http://* | https://*) ;;
    *) fail 20 "$1 holds no http or https URL" ;;
    esac
}

# find_program: sets program.
find_program() {
    program=${GANTRY_DOWNLOADER:-curl}
    command -v "$program" >/dev/null || program=wget
    case $program in
    curl | wget) command -v "$program" >/dev/null || fail 21 "neither curl nor wget is installed" ;;
    *) fail 2 "GANTRY_DOWNLOADER is '$program', not curl or wget" ;;
    esac
}

# transfer_curl OPTION..., transfer_wget OPTION...: one try at url with these options. Both set code (0: an HTTP answer
# came), status and size (of what came, in bytes; empty where it is not told), and write what came to $answer. Their messages may quote the URL, so none is shown: the exit code
# says enough.
transfer_curl() {
    escaped=$url
    case $url in
    *[\\\"]*) escaped=$(printf '%s' "$url" | sed 's/[\\"]/\\&/g') ;;
    esac
    code=0
    status=$(
        curl -K - --silent --proto '=http,https' --connect-timeout 10 --speed-limit 1024 --speed-time 60 \
            --output "$answer" --write-out '%{http_code} %{size_download}' "$@" 2>/dev/null <<END
url = "$escaped"
END
    ) || code=$?
    # An old one writes decimals.
    size=${status#* }
    size=${size%%.*}
    status=${status%% *}
}

transfer_wget() {
    code=0
    size=
    printf '%s\n' "$url" |
        wget --input-file=- --tries=1 --timeout=60 --server-response --content-on-error \
            --output-document="$answer" "$@" 2>"$answer.headers" || code=$?
    status=$(sed -n 's|^ *HTTP/[0-9.]* \([0-9][0-9][0-9]\).*|\1|p' "$answer.headers" | tail -n 1)
    rm -f "$answer.headers"
    # 8: the server answered with an error.
    [ "$code" -ne 8 ] || code=0
}

# The text of one element of the store's error document: short and printable.
error_field() {
    head -c 4096 "$answer" | tr '\r\n' '  ' | sed -n "s|.*<$1>\([^<]*\)</$1>.*|\1|p" | tr -cd '[:print:]' | cut -c 1-300
}

# keep_trying WHAT ANSWER: calls transfer_once until the store says 200, the answer going to the file ANSWER. WHAT is
# what could not be done, for a person.
keep_trying() {
    answer=$2
    pause=${GANTRY_RETRY_SECONDS:-1}
    try=1
    while :; do
        transfer_once
        case $code:$status in
        0:200) return ;;
        0:5?? | 0:429 | 0:408) problem="HTTP status $status" end=22 ;;
        0:*) break ;;
        23:*) fail 25 "cannot write to ${answer%/*}" ;;
        *) problem="$program failed with exit code $code" end=21 ;;
        esac
        if [ "$try" -ge 5 ]; then
            [ "$end" = 22 ] && break
            fail "$end" "$1: $problem, $try tries"
        fi
        say "$problem: trying again in $pause s"
        sleep "$pause"
        pause=$(awk -v pause="$pause" 'BEGIN { print pause * 2 }')
        try=$((try + 1))
    done
    # The link's own time is up, or the session's that has signed it: another link helps.
    case $(error_field Code):$(error_field Message) in
    ExpiredToken:* | TokenRefreshRequired:* | RequestExpired:* | AccessDenied:'Request has expired'*) end=28 ;;
    *) end=22 ;;
    esac
    fail "$end" "$1: HTTP status ${status:-unknown} $(error_field Code) $(error_field Message)"
}
