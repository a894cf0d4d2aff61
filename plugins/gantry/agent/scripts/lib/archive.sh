# shellcheck shell=sh
# Converts a service archive to a folder that may be installed, or refuses it with a reason. Sourced, never run, after
# agent.sh and kinds.sh. Works only in the current folder, which is the caller's own (enter_work): nothing else changes.
#
# Environment: GANTRY_RESTORE, not empty: owners are kept, as a backup needs it.
#
# Exit codes: 21 unsafe; 22 it cannot be unpacked (damaged, of no known kind, a program is missing, no space left); 23 a
# script that every service must have is missing; 26 a script cannot be run.

work=

# enter_work PATH: makes the folder PATH.PID for root alone, with an empty `tree` in it, and makes it the working folder. The
# caller holds a lock: what is left there of others was left behind by one that was killed. At the end it goes.
enter_work() {
    for left in "$1".*; do
        if [ -e "$left" ] || [ -L "$left" ]; then
            rm -rf -- "$left"
        fi
    done
    work=$1.$$
    mkdir -m 700 "$work" "$work/tree" || fail 22 "cannot write to ${1%/*}"
    trap 'exit 143' TERM INT HUP
    cd "$work" || fail 22 "cannot enter $work"
}

at_exit() {
    [ -z "$work" ] || { cd / && rm -rf -- "$work"; }
}

# unpack_archive FILE: puts the archive's content, cleaned up and checked, into the folder `tree`.
unpack_archive() {
    archive=$1
    make_folder tree
    listed=
    list_packed || packed_kind "$archive"
    case $PACKED:$KIND in
    *:unknown)
        fail 22 "$PACKED is missing on this server, and the archive is packed with it: install $(package_of "$PACKED"), or pack the service as .tar.gz; nothing was changed"
        ;;
    :zip) unpack_zip ;;
    :tar) unpack_tar ;;
    # An old tar has no mark in it.
    :text)
        case $archive in
        *.tar) unpack_tar ;;
        *) no_archive ;;
        esac
        ;;
    ?*:tar | ?*:text) unpack_tar --use-compress-program="$PACKED" ;;
    ?*:empty | ?*:zeros) fail 22 "there is nothing in the archive that $PACKED has packed, or it is damaged" ;;
    *) no_archive "${PACKED:+, packed by $PACKED}" ;;
    esac
    look_at_tree
    # A backup is what this server had, and comes back as it was.
    if [ -z "${GANTRY_RESTORE:-}" ]; then
        # What is odd may be a file that macOS has added, and hides the others.
        if [ -n "$noise$odd" ]; then
            leave_out_noise
            look_at_tree
        fi
        strip_folder
        check_lines
    fi
    check_tree
    check_scripts
}

# no_archive [WORDS]
no_archive() {
    fail 22 "this is not an archive that can be unpacked, it is $(kind_words)${1:-}: send .tar.gz, .tar.bz2, .tar.xz, .tar.zst, .tar or .zip"
}

package_of() {
    case $1 in
    xz) echo 'xz-utils or xz' ;;
    *) echo "$1" ;;
    esac
}

refuse() {
    fail 21 "unsafe archive, nothing was installed: $1"
}

# Names are checked as in the archive, since the unpackers quietly fix the bad ones. One name per line:
# both unpackers print control characters escaped.
check_names() {
    if grep -q '^/' names; then
        refuse "'$(grep '^/' names | head -n 1)' is an absolute path"
    fi
    # Windows' zip programs separate folders with a backslash.
    if tr '\134' / <names | grep -Eq '(^|/)\.\.(/|$)'; then
        refuse "'$(grep -E '(^|[/\\])\.\.([/\\]|$)' names | head -n 1)' leaves the folder"
    fi
}

# check_space KIBIBYTES: a full disk would harm running services.
check_space() {
    free=$(df -Pk .) || true
    {
        read -r _
        read -r _ _ _ free _
    } <<END
$free
END
    is_number "$free" || return 0
    [ "$1" -le "$free" ] ||
        fail 22 "the archive needs $(($1 / 1024 + 1)) MiB, and where services are installed $((free / 1024)) MiB are free: make room; nothing was changed"
}

# For awk, of a listing: how many kibibytes it needs, or `odd` where a line is not surely one of a file, a folder or a link
# whose name, and target if it is a hard link, stay within. A time that is out of the calendar is a single word, which would
# shift the name: it is odd. So is a target with two dots, since where the name ends cannot be told for sure.
# shellcheck disable=SC2016 # for awk
size_of_harmless='
    {
        line = $0
        if (line !~ /^[-dlhCV]/) odd = 1
        if (!sub(/^[^ ]+ +[^ ]+ +[0-9]+ [0-9]+-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9] /, "", line)) odd = 1
        if (line ~ /^[\/\\]/ || line ~ /\.\.([\/\\ ]|$)/ || line ~ / link to \//) odd = 1
        sum += int(($3 + 4095) / 4096) * 4
    }
    END {
        if (odd) print "odd"
        else printf "%d", sum
    }'

# list_tar [OPTION]: lists what is in it, into the file list. Ends the shell that it is called in.
list_tar() {
    # What macOS notes of a file, and clocks that go wrong: a line for each file, three times.
    # -P, when listing only: show absolute names and link targets as they are. Numbers instead of owners' names, which the
    # archive could choose to confuse us. The first letter is the type.
    exec tar "$@" --warning=no-unknown-keyword --warning=no-timestamp -tvPf "$archive" --quoting-style=escape --numeric-owner >list
}

# list_packed: does so if the archive is a packed tar, as nearly all are: then nothing has to be unpacked to find out what
# was packed. Sets PACKED and KIND, and listed. False: it is something else, or damaged; what, packed_kind tells.
list_packed() {
    file_kind "$archive"
    PACKED=$KIND
    case $KIND in
    gzip | bzip2 | xz | zstd) command -v "$PACKED" >/dev/null || return 1 ;;
    *) return 1 ;;
    esac
    # What tar has to say, it says once more when it unpacks, or when it lists after this has failed.
    { (list_tar --use-compress-program="$PACKED") 2>/dev/null && [ -s list ]; } || return 1
    KIND=tar
    listed=yes
}

# unpack_tar [OPTION]
unpack_tar() {
    [ -n "$listed" ] || (list_tar "$@") || fail 22 "tar cannot read $archive (above)"
    set -- "$@" --warning=no-unknown-keyword --warning=no-timestamp
    # Less than a block of anything is an empty archive to tar.
    [ -s list ] || fail 22 "there is nothing in the archive, or it is not an archive"
    size=$(LC_ALL=C awk "$size_of_harmless" list)
    if [ "$size" = odd ]; then
        # It may yet be harmless, and if not, the reason is to be told.
        tar "$@" -tPf "$archive" --quoting-style=escape >names || fail 22 "tar cannot read $archive (above)"
        check_names
        if grep -q '^[^-dlhCV]' list; then
            refuse "neither file, folder nor link: $(grep '^[^-dlhCV]' list | head -n 1)"
        fi
        # The name itself may hold " link to ": then a harmless entry is refused, never the other way round.
        if grep '^h' list | grep -Eq ' link to (/|(.*/)?\.\.(/|$))'; then
            refuse "a hard link leaves the folder: $(grep '^h' list | grep -E ' link to (/|(.*/)?\.\.(/|$))' | head -n 1)"
        fi
        size=$(awk '{ sum += int(($3 + 4095) / 4096) * 4 } END { printf "%d", sum }' list)
    fi
    check_space "$size"
    # Of a backup it is needed who owned what. Out of sight here, and all of it is changed later.
    if [ -n "${GANTRY_RESTORE:-}" ]; then
        set -- "$@" --same-owner --numeric-owner
    else
        set -- "$@" --no-same-owner
    fi
    tar "$@" -xf "$archive" -C tree --no-same-permissions || fail 22 "tar cannot unpack $archive (above)"
}

# unzip_as_named ARG...: in the C locale, which a login without a terminal often has, unzip writes an umlaut as #U00fc.
unzip_as_named() {
    LC_ALL=C.UTF-8 unzip "$@"
}

unpack_zip() {
    command -v unzip >/dev/null || fail 22 "unzip is missing on this server: install it, or send the service as .tar.gz"
    unzip_as_named -Z1 "$archive" >names || fail 22 "unzip cannot read $archive"
    check_names
    check_space "$(unzip -Zt "$archive" | awk '{ printf "%d", $3 / 1024 + $1 * 4 }')"
    code=0
    unzip_as_named -q -o "$archive" -d tree </dev/null || code=$?
    # 1: it warned, but all was unpacked.
    case $code in
    0 | 1) ;;
    5 | 82) fail 22 "unzip cannot unpack $archive: it is protected by a password, or damaged (exit code $code)" ;;
    81) fail 22 "unzip cannot unpack $archive: it is packed by a method that unzip does not know (exit code 81); send .tar.gz" ;;
    *) fail 22 "unzip cannot unpack $archive (exit code $code)" ;;
    esac
    odd=$(unzip_as_named -Z -s "$archive" | grep -aE '^[^ ]+ +[0-9.]+ (fat|ntf|hpf) ' |
        LC_ALL=C grep -a '[^ -~]' | head -n 1 | LC_ALL=C tr -c ' -~' '?')
    [ -z "$odd" ] ||
        say "unzip may have misread names with letters beyond ASCII, since the zip comes from Windows (${odd##* }): where they matter, send .tar.gz"
    # From a system that has no modes.
    find tree -type d ! -perm -0500 -exec chmod 755 {} +
    find tree -type f ! -perm -0400 -exec chmod 644 {} +
    if [ -n "$(find tree -name '*\\*' | head -n 1)" ]; then
        # Nothing is moved through a link that leads away.
        look_at_tree
        check_tree
        split_names
    fi
}

# split_names: what Windows' zip programs call `bin\start` is start in the folder bin.
split_names() {
    find tree -depth -mindepth 1 -name '*\\*' >odd-names
    while IFS= read -r path; do
        folder=${path%/*}
        goal=$folder/$(printf '%s' "${path##*/}" | tr '\134' /)
        # Also of an entry that is a folder only: its name ends with a backslash.
        if [ -d "$path" ] || [ "$goal" != "${goal%/}" ]; then
            mkdir -p "$goal" || fail 22 "cannot make the folder ${goal#tree/} of the archive"
            [ ! -d "$path" ] || find "$path" -mindepth 1 -maxdepth 1 -exec mv -f -t "$goal" {} + ||
                fail 22 "cannot put ${path#tree/} of the archive into its folder"
            rm -rf "$path"
            continue
        fi
        if ! mkdir -p "${goal%/*}" || ! mv -fT "$path" "$goal"; then
            fail 22 "cannot put ${path#tree/} of the archive into its folder"
        fi
    done <odd-names
}

# leave_out_noise: removes files that macOS adds.
leave_out_noise() {
    noise=$(find tree \( -name '._*' -o -name .DS_Store -o -path tree/__MACOSX \) -prune -exec sh -c 'find "$@" ! -type d' - {} + | wc -l)
    [ "$noise" -gt 0 ] || return 0
    find tree \( -name '._*' -o -name .DS_Store -o -path tree/__MACOSX \) -prune -exec rm -rf {} +
    say "left out of the archive, since macOS has added them (._*, .DS_Store, __MACOSX): $noise files"
}

# strip_folder: an archive of one folder that holds the service, as GitHub packs it, is as good as one of what is in it.
strip_folder() {
    [ ! -e tree/bin ] || return 0
    find tree -mindepth 1 -maxdepth 1 >top
    [ "$(wc -l <top)" -eq 1 ] || return 0
    IFS= read -r only <top
    if [ -d "$only" ] && [ ! -L "$only" ] && [ -f "$only/bin/enstratus-configure" ]; then
        mv -T "$only" within
        rmdir tree
        mv -T within tree
        look_at_tree
        say "the archive has all in one folder, ${only#tree/}: what is in it is taken"
    fi
}

# look_at_tree: sets odd to yes if there is a path that must not be (refuse_odd says which); else the file links says where each link leads, noise
# is not empty if there is what macOS adds, and unusual if there are modes that must not be: set-user-id and the like, what
# others may write, or what the owner cannot use.
# shellcheck disable=SC2034 # unusual is for installService
look_at_tree() {
    seen=$(
        LC_ALL=C find tree \( -name '*[[:cntrl:]]*' -o ! -type f ! -type d ! -type l -o -lname '*[[:cntrl:]]*' \) \
            -printf '!' -quit \
            -o \( -name '._*' -o -name .DS_Store -o -path tree/__MACOSX \) -printf n -false \
            -o ! -type l \( -perm /7022 -o ! -perm -0600 -o -type d ! -perm -0100 -o -perm /0011 ! -perm -0100 \) -printf u -false \
            -o -type l -fprintf links '%P\t%l\n'
    )
    odd='' noise='' unusual=''
    # Only whether there is one of the letters: cut apart, a million of them would take the shell minutes.
    case $seen in
    *!*) odd=yes ;;
    esac
    case $seen in
    *n*) noise=yes ;;
    esac
    case $seen in
    *u*) unusual=yes ;;
    esac
}

# check_tree: the tree as it really came out decides (see look_at_tree), whatever the listing said.
check_tree() {
    [ -z "$odd" ] || refuse_odd
    # Without line breaks in names, lines of `find` can be trusted from here on.
    [ -s links ] || return 0
    odd=$(LC_ALL=C awk "$links_that_leave" links)
    [ -z "$odd" ] || refuse "$odd"
}

# refuse_odd: says which.
refuse_odd() {
    odd=$(LC_ALL=C find tree -name '*[[:cntrl:]]*' | head -n 1)
    [ -z "$odd" ] || refuse "control characters in the name '$odd'"
    odd=$(find tree ! -type f ! -type d ! -type l | head -n 1)
    [ -z "$odd" ] || refuse "neither file, folder nor link: ${odd#tree/}"
    odd=$(LC_ALL=C find tree -type l -lname '*[[:cntrl:]]*' | head -n 1)
    refuse "control characters in where the link '${odd#tree/}' points to"
}

# By names alone: unchecked links are never followed. A way up from a folder is exact, since the folder itself
# is not a link. Behind a link it is not, so there it is refused; then no link leaves, whatever others it passes.
# shellcheck disable=SC2016 # for awk
links_that_leave='
    BEGIN { FS = "\t" }
    { target[$1] = $2 }
    END {
        for (link in target) {
            goal = target[link]
            if (goal ~ /^\//) {
                print "the link \047" link "\047 points to the absolute path " goal
                exit
            }
            depth = split(link, at, "/") - 1
            over = 0
            steps = split(goal, step, "/")
            for (i = 1; i <= steps; i++) {
                if (step[i] == "" || step[i] == ".") continue
                if (step[i] == "..") {
                    if (over || depth == 0) {
                        print "the link \047" link "\047 points out of the folder" (over ? ", or back over another link" : "") ", to " goal
                        exit
                    }
                    depth--
                    continue
                }
                at[++depth] = step[i]
                path = at[1]
                for (j = 2; j <= depth; j++) path = path "/" at[j]
                if (path in target) over = 1
            }
        }
    }'

check_scripts() {
    # Modes and owners are set by these names, so nothing else may be behind them.
    for name in bin cfg; do
        if [ -L "tree/$name" ] || { [ -e "tree/$name" ] && [ ! -d "tree/$name" ]; }; then
            fail 23 "the archive has a file or a link where the folder $name has to be"
        fi
    done
    for name in enstratus-configure enstratus-start enstratus-stop; do
        [ -f "tree/bin/$name" ] || fail 23 "the archive has no bin/$name$(where_is "$name")"
    done
}

# check_lines: the scripts in bin could be run.
check_lines() {
    # What a link leads to is not looked at.
    [ -d tree/bin ] && [ ! -L tree/bin ] || return 0
    carriage_return=$(printf '\r\357\273\277')
    byte_order_mark=${carriage_return#?}
    carriage_return=${carriage_return%"$byte_order_mark"}
    # The kernel looks for an interpreter whose name ends with the carriage return, and says that the script is not there.
    suspects=$(grep -ralE "^($byte_order_mark)?#!.*$carriage_return\$|^$byte_order_mark#!" tree/bin) || true
    [ -n "$suspects" ] || return 0
    bad=
    while IFS= read -r path; do
        first=$(head -c 512 "$path" | head -n 1)
        case $first in
        "$byte_order_mark#!"* | '#!'*"$carriage_return") bad="$bad ${path#tree/}" ;;
        esac
    done <<END
$suspects
END
    [ -z "$bad" ] ||
        fail 26 "scripts with Windows line ends or a byte order mark, whose interpreter would not be found:$bad. Save them with Unix line ends in UTF-8 without BOM (dos2unix; in Git: *.sh and bin/* text eol=lf); nothing was changed"
}

# where_is NAME: where a missing script is instead, or what the archive contains.
where_is() {
    elsewhere=$(find tree -ipath "*bin/$1" | head -n 1)
    elsewhere=${elsewhere#tree/}
    if [ -n "$elsewhere" ]; then
        printf ', but %s: pack what is in the folder that has bin/ in it (tar -czf page.tar.gz -C FOLDER .)' "$elsewhere"
    else
        printf '; on top it has: %s' "$(find tree -mindepth 1 -maxdepth 1 | sed 's|^tree/||' | LC_ALL=C sort | head -n 10 | tr '\n' ' ')"
    fi
}
