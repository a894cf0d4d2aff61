#!/bin/sh
# A MySQL server for the tests, in .work/mysql. Debian 12 has MariaDB alone, which Airflow does not support; Debian's
# unstable release has MySQL. Its package is unpacked with every library that it needs, down to the C library, so that
# nothing is installed and nothing of this machine is used. Does nothing, quickly, when it is there.
#
# That release changes daily. Where the package cannot be had, this says so, and what needs it is skipped.
set -eu

ROOT=$(cd "$(dirname "$0")/.." && pwd)
FOLDER=$ROOT/.work/mysql
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
MIRROR=http://deb.debian.org/debian
SCRATCH=

say() { printf 'setup-mysql: %s\n' "$*"; }
without() {
    say "$*; tests on MySQL are skipped"
    exit 0
}
clean_up() { rm -rf ${SCRATCH:+"$SCRATCH"}; }
trap clean_up EXIT
trap 'exit 130' INT TERM

[ ! -e "$FOLDER/ready" ] || exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null || [ ! -e "$KEYS" ]; then
    without 'this is no Debian'
fi
say 'unpacking MySQL of Debian unstable into .work/mysql'
SCRATCH=$(mktemp -d)
mkdir -p "$SCRATCH/lists/partial" "$SCRATCH/cache/archives/partial"
# A machine on which nothing is installed: so everything that the package needs comes along.
: >"$SCRATCH/status"
echo "deb [signed-by=$KEYS] $MIRROR unstable main" >"$SCRATCH/sources.list"
cat >"$SCRATCH/apt.conf" <<END
Dir::Etc::sourcelist "$SCRATCH/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$SCRATCH";
Dir::State::lists "$SCRATCH/lists";
Dir::State::status "$SCRATCH/status";
Dir::Cache "$SCRATCH/cache";
Acquire::Languages "none";
APT::Sandbox::User "";
Debug::NoLocking "true";
END
export APT_CONFIG="$SCRATCH/apt.conf"
download() {
    apt-get update -qq && apt-get install --yes -qq --no-install-recommends --download-only mysql-server-core
}
download >"$SCRATCH/log" 2>&1 ||
    without "Debian unstable did not give it: $(tail -n 1 "$SCRATCH/log")"
rm -rf "$FOLDER"
mkdir -p "$FOLDER"
for package in "$SCRATCH"/cache/archives/*.deb; do
    case ${package##*/} in
    # Its tools' language, and what that needs alone.
    perl* | libperl* | libdb* | libgdbm*) ;;
    *) dpkg-deb --extract "$package" "$FOLDER" ;;
    esac
done
touch "$FOLDER/ready"
say 'ready'
