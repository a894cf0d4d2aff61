# shellcheck shell=sh
# Format of a file, by its first bytes: file names are often wrong. Sourced, never run.

# file_kind FILE: sets KIND to a word, `text` if the bytes are those of no known format.
file_kind() {
    kind_of "$(first_bytes <"$1")"
}

# first_bytes: those of standard input, as hexadecimal digits in groups of two; a tar has its mark at the end of them.
first_bytes() {
    exec od -An -v -tx1 -N 262
}

# kind_of DIGITS: sets KIND.
kind_of() {
    # As one word. What they are parted by is blanks and line breaks alone.
    # shellcheck disable=SC2086
    set -- $1
    kind_ifs=$IFS
    IFS=
    kind_digits=$*
    IFS=$kind_ifs
    case $kind_digits in
    '') KIND=empty ;;
    0000000000000000*) KIND=zeros ;;
    1f8b*) KIND=gzip ;;
    425a68*) KIND=bzip2 ;;
    fd377a585a00*) KIND=xz ;;
    # The second: a frame that is skipped, as parallel packers put first.
    28b52ffd* | 5?2a4d18*) KIND=zstd ;;
    504b0304* | 504b0506* | 504b0708*) KIND=zip ;;
    377abcaf271c*) KIND=7z ;;
    526172211a07*) KIND=rar ;;
    1f9d*) KIND='compress' ;;
    5d0000*) KIND=lzma ;;
    4c5a4950*) KIND=lzip ;;
    53616c7465645f5f* | 2d2d2d2d2d424547494e20504750*) KIND=encrypted ;;
    5047444d50*) KIND=pg_dump ;;
    53514c69746520666f726d61742033*) KIND=sqlite ;;
    # 'version https://git-lfs'
    76657273696f6e2068747470733a2f2f6769742d6c6673*) KIND=git-lfs ;;
    # '<!D', '<!d', '<ht', '<HT', '<?xml'
    3c2144* | 3c2164* | 3c6874* | 3c4854* | 3c3f786d6c*) KIND=html ;;
    # With a mark of the byte order, or without: every second byte is zero.
    fffe* | feff* | ??00??00??00??00* | 00??00??00??00??*) KIND=utf-16 ;;
    *)
        KIND=text
        # Of 524 digits the last ten: ustar.
        case ${#kind_digits}:$kind_digits in
        524:*7573746172) KIND=tar ;;
        esac
        ;;
    esac
}

# packed_kind FILE: sets PACKED to the program that has compressed the file, or to an empty text, and KIND to the format of
# the content; `unknown` if that program is not on this server.
packed_kind() {
    PACKED=
    file_kind "$1"
    case $KIND in
    gzip | bzip2 | xz | zstd) PACKED=$KIND ;;
    *) return 0 ;;
    esac
    KIND=unknown
    command -v "$PACKED" >/dev/null || return 0
    kind_of "$("$PACKED" -dc <"$1" 2>/dev/null | first_bytes)"
}

# kind_words: KIND for a person.
kind_words() {
    case $KIND in
    empty) echo 'an empty file' ;;
    zeros) echo 'only zeros, as after an interrupted download' ;;
    encrypted) echo 'an encrypted file' ;;
    git-lfs) echo "a pointer of Git LFS, not the file itself ('git lfs pull' fetches it)" ;;
    html) echo 'a page of HTML or XML, such as the error of a web server' ;;
    utf-16) echo 'text in UTF-16 (PowerShell writes it where > redirects)' ;;
    pg_dump) echo "a dump of pg_dump's own format (-Fc)" ;;
    sqlite) echo 'a database of SQLite, not a dump of it' ;;
    *) echo "$KIND" ;;
    esac
}
