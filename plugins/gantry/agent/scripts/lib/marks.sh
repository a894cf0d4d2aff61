# shellcheck shell=sh
# Marks that scripts write to /enstratus/ws/state themselves. Sourced, never run, after agent.sh.

marks=$ENSTRATUS/ws/state

# require_mark CODE KEY: fails unless it is SERVICE/NAME, of plain names.
require_mark() {
    case $2 in
    */*/* | /* | */) fail "$1" "'$2' is not a mark's key" ;;
    */*) ;;
    *) fail "$1" "'$2' is not a mark's key" ;;
    esac
    if ! is_plain "${2%%/*}" || ! is_plain "${2#*/}"; then
        fail "$1" "'$2' is not a mark's key"
    fi
}

# sum_file FILE: sets sum to the SHA-256 digest of its content, which withDownload may have found out.
sum_file() {
    sum=${GANTRY_FETCHED:-}
    unset GANTRY_FETCHED
    case $sum in
    *[!0-9a-f]*" $1") sum= ;;
    *" $1") sum=${sum%" $1"} ;;
    *) sum= ;;
    esac
    [ ${#sum} -ne 64 ] || return 0
    sum=$(sha256sum <"$1")
    sum=${sum%% *}
}

# accompany KEY: sets CONTENT_MARK and OBJECT_MARK to the keys that accompany a mark.
# shellcheck disable=SC2034 # for the caller
accompany() {
    CONTENT_MARK=${1%%/*}/content.${1#*/}
    OBJECT_MARK=${1%%/*}/object.${1#*/}
}

# read_mark KEY: sets MARK. False: there is none.
read_mark() {
    MARK=
    { IFS= read -r MARK <"$marks/$1"; } 2>/dev/null || [ -n "$MARK" ]
}

# write_mark CODE KEY VALUE
write_mark() {
    if ! { make_folder "$marks/${2%/*}" && write_fresh_line "$marks/$2" "$3"; }; then
        fail "$1" "cannot write the mark $2"
    fi
}
