#!/bin/sh
# Makes a Debian system below target/packages unless it exists, and prints its folder. Needs root.
#
# The base images are made of this system, and packages are installed into copies of it. It is never changed itself.
set -eu
cd "$(dirname "$0")/../.."

# The release of the base images in the Dockerfile.
suite=trixie
root=target/packages/$suite
mkdir -p target/packages
exec 9>"$root.lock"
flock 9

# Written last, so that an incomplete system is made again.
if [ ! -e "$root/made" ]; then
    rm -rf --one-file-system "$root"
    # The packages that the official image of Rust contains beside Rust, and the TLS roots.
    debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates "$suite" "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >&2
    touch "$root/made"
fi
echo "$PWD/$root"
