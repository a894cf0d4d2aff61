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

# content_mark KEY, object_mark KEY: the keys that accompany a mark.
content_mark() {
    printf '%s/content.%s' "${1%%/*}" "${1#*/}"
}

object_mark() {
    printf '%s/object.%s' "${1%%/*}" "${1#*/}"
}

# read_mark KEY: sets MARK. False: there is none.
read_mark() {
    MARK=
    { IFS= read -r MARK <"$marks/$1"; } 2>/dev/null || [ -n "$MARK" ]
}

# write_mark CODE KEY VALUE
write_mark() {
    if ! { mkdir -p "$marks/${2%/*}" && write_line "$marks/$2" "$3"; }; then
        fail "$1" "cannot write the mark $2"
    fi
}
