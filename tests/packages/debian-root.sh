#!/bin/sh
# Makes a minimal Debian system below target/packages unless it exists, and prints its folder. Needs root.
#   debian-root.sh SUITE PACKAGES
#
# Images are made of such a system, and packages are installed into copies of it. It is never changed itself.
set -eu
cd "$(dirname "$0")/../.."

suite=$1
packages=$2
# Systems with other packages are other folders.
root=target/packages/$suite-$(printf %s "$packages" | cksum | cut -d ' ' -f 1)
mkdir -p target/packages
exec 9>"$root.lock"
flock 9

# Written last, so that an incomplete system is made again.
if [ ! -e "$root/made" ]; then
    rm -rf --one-file-system "$root"
    debootstrap --variant=minbase --include="$packages" "$suite" "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >&2
    touch "$root/made"
fi
echo "$PWD/$root"
