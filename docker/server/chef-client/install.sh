#!/bin/sh
# Puts chef-client on the image that is being built.
#
# usage: install.sh stand-in|VERSION|latest
#
# stand-in: what lies beside this file. Anything else is a version of Chef Infra Client, from its vendor's installer;
# the stand-in goes away then.
set -eu
here=$(cd "$(dirname -- "$0")" && pwd)

case ${1:?usage: install.sh stand-in|VERSION|latest} in
stand-in)
    chmod -R a+rX "$here"
    chmod 755 "$here/bin/chef-client"
    ln -s "$here/bin/chef-client" /usr/bin/chef-client
    ;;
*)
    installer=$(mktemp)
    # Not into a pipe: half a download must not run.
    curl -fsSL -o "$installer" https://omnitruck.chef.io/install.sh
    bash "$installer" -P chef -v "$1"
    rm -rf "$installer" "$here"
    ;;
esac
chef-client --version
