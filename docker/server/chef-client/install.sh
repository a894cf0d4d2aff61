#!/bin/sh
# Puts chef-client on the image that is being built.
#
# usage: install.sh stand-in|own|VERSION|latest
#
# stand-in: what lies beside this file. own: the packages or the installer in the folder `own` beside it. Anything else
# is a version of Chef Infra Client, from its vendor's installer. The stand-in goes away then.
set -eu
here=$(cd "$(dirname -- "$0")" && pwd)

case ${1:?usage: install.sh stand-in|own|VERSION|latest} in
stand-in)
    chmod -R a+rX "$here"
    chmod 755 "$here/bin/chef-client"
    ln -s "$here/bin/chef-client" /usr/bin/chef-client
    ;;
own)
    if [ -e "$here/own/installer" ]; then
        chmod 755 "$here/own/installer"
        "$here/own/installer"
    else
        dpkg -i "$here"/own/*.deb
    fi
    rm -rf "$here"
    ;;
*)
    installer=$(mktemp)
    # Not into a pipe: half a download must not run.
    curl -fsSL -o "$installer" https://omnitruck.chef.io/install.sh
    bash "$installer" -P chef -v "$1"
    rm -rf "$installer" "$here"
    ;;
esac
for client in chef-client cinc-client; do
    ! command -v "$client" >/dev/null || exec "$client" --version
done
echo "install.sh: it has put neither chef-client nor cinc-client there" >&2
exit 1
