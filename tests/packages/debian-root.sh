#!/bin/sh
# Makes a Debian system in the folder that it names on its standard output; quick where it is there. Needs root.
#
# Base images are made of it, and packages are installed into copies of it. Nothing runs in it, nothing changes it.
set -eu
cd "$(dirname "$0")/../.."

# The release that the Dockerfile names.
suite=trixie
root=target/packages/$suite
mkdir -p target/packages
exec 9>"$root.lock"
flock 9

# Written last: a folder that was left half made has none.
if [ ! -e "$root/made" ]; then
    rm -rf --one-file-system "$root"
    # What the official image of Rust brings beside Rust, and the roots of TLS.
    debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates "$suite" "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >&2
    touch "$root/made"
fi
echo "$PWD/$root"
