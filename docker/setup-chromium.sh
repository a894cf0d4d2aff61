#!/bin/sh
# Debian's Chromium, for the pictures of the documentation and browser tests, and python3-seccomp, which starts it for
# them (tests/web/chromium). Does nothing when both are there.
set -eu
if [ -x /usr/bin/chromium ] && /usr/bin/python3 -c 'import seccomp' 2>/dev/null; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo 'setup-chromium: Chromium or python3-seccomp is missing; on Debian, as root: apt-get install chromium python3-seccomp' >&2
    exit 1
fi
echo 'setup-chromium: installing chromium'
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends \
    chromium fonts-dejavu-core python3-seccomp >/dev/null
