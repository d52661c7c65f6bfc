#!/bin/sh
# Builds the Dockerfile with buildah, on base images which it makes under the names that the Dockerfile gives them, and prints the id of
# the image. Needs root.
#
# The bases are Debian packages, as the real ones are: for the build a small Debian with a C compiler, into which this machine's Rust is
# mounted; for the program the C library and the roots of TLS, without so much as a shell. What was compiled stays in target/packages.
set -eu
cd "$(dirname "$0")/../.."
here=$PWD
work=$here/target/packages

buildah() {
    "$here/tests/packages/buildah" "$@"
}

root=$(tests/packages/debian-root.sh)

named() {
    sed -n "s/^ARG $1=//p" Dockerfile
}

exists() {
    buildah inspect --type image "$1" >/dev/null 2>&1
}

# The image $1: what is in the folder $2, with the configuration in the other arguments.
image_of() {
    image=$1 folder=$2
    shift 2
    container=$(buildah from scratch)
    buildah copy --quiet "$container" "$folder" / >/dev/null
    buildah config "$@" "$container"
    buildah commit --quiet --rm "$container" "$image" >/dev/null
}

# What earlier runs left, so that the storage does not grow.
buildah rm --all >/dev/null
buildah rmi --prune >/dev/null

build_image=$(named BUILD_IMAGE)
if ! exists "$build_image"; then
    # Where the official image has its toolchain.
    image_of "$build_image" "$root" \
        --env PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --env CARGO_HOME=/usr/local/cargo --env CARGO_NET_OFFLINE=true --env CARGO_PROFILE_DEV_DEBUG=0
fi

runtime_image=$(named RUNTIME_IMAGE)
if ! exists "$runtime_image"; then
    bare=$work/bare
    rm -rf "$bare"
    mkdir -p "$bare/etc/ssl/certs" "$bare/tmp"
    for package in base-files libc6 libgcc-s1; do
        dpkg-deb -x "$(echo "$root"/var/cache/apt/archives/"${package}"_*.deb)" "$bare"
    done
    cp "$root/etc/ssl/certs/ca-certificates.crt" "$bare/etc/ssl/certs/"
    echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$bare/etc/passwd"
    image_of "$runtime_image" "$bare" --user 65532
    rm -rf "$bare"
fi

# The sources of the dependencies, as cargo on this machine has them: nothing is fetched inside.
cargo vendor --quiet --locked --versioned-dirs "$work/vendor"
cat >"$work/vendor.toml" <<CONFIG
[source.crates-io]
replace-with = "vendor"
[source.vendor]
directory = "/vendor"
CONFIG
mkdir -p "$work/compiled"

buildah build --quiet --pull-never --format docker \
    --build-arg PROFILE="$1" --build-arg REVISION="$2" \
    --volume "$(rustc --print sysroot):/usr/local/rust:ro" \
    --volume "$work/vendor:/vendor:ro" --volume "$work/vendor.toml:/usr/local/cargo/config.toml:ro" \
    --volume "$work/compiled:/build/target" \
    --tag magic-tunnel-exporter:test .
