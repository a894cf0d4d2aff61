#!/bin/sh
# Debian's Chromium, for the pictures of the documentation and browser tests. Does nothing when it is there.
set -eu
[ ! -x /usr/bin/chromium ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo 'setup-chromium: there is no /usr/bin/chromium; on Debian, as root: apt-get install chromium' >&2
    exit 1
fi
echo 'setup-chromium: installing chromium'
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
