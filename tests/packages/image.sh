#!/bin/sh
# Builds the Dockerfile with buildah and prints the id of the image. The base images are made here, under the names that
# the Dockerfile uses, without the digests. Needs root.
#
# Like the real ones, the base images consist of Debian packages: a small Debian with a C compiler for the build, with the
# Rust of this machine mounted into it, and the C library and the TLS roots, without a shell, for the program. Compiled
# files stay in target/packages.
set -eu
cd "$(dirname "$0")/../.."
here=$PWD
work=$here/target/packages

buildah() {
    "$here/tests/packages/buildah" "$@"
}

# The release of the base images in the Dockerfile, and the packages that the official image of Rust contains beside Rust.
root=$(tests/packages/debian-root.sh trixie gcc,libc6-dev,ca-certificates)

named() {
    sed -n "s/^ARG $1=\(.*\)@sha256:.*/\1/p" Dockerfile
}

exists() {
    buildah inspect --type image "$1" >/dev/null 2>&1
}

# Makes the image $1 of the folder $2; the other arguments configure it.
image_of() {
    image=$1 folder=$2
    shift 2
    container=$(buildah from scratch)
    buildah copy --quiet "$container" "$folder" / >/dev/null
    buildah config "$@" "$container"
    buildah commit --quiet --rm "$container" "$image" >/dev/null
}

# Deletes the results of earlier runs, so that the storage does not grow.
buildah rm --all >/dev/null
buildah rmi --prune >/dev/null

build_image=$(named BUILD_IMAGE)
if ! exists "$build_image"; then
    # The paths of the toolchain in the official image.
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

# The sources of the dependencies from this machine, because the build has no network.
cargo vendor --quiet --locked --versioned-dirs "$work/vendor"
cat >"$work/vendor.toml" <<CONFIG
[source.crates-io]
replace-with = "vendor"
[source.vendor]
directory = "/vendor"
CONFIG
mkdir -p "$work/compiled"

buildah build --quiet --pull-never --format docker \
    --build-arg BUILD_IMAGE="$build_image" --build-arg RUNTIME_IMAGE="$runtime_image" \
    --build-arg PROFILE="$1" --build-arg REVISION="$2" \
    --volume "$(rustc --print sysroot):/usr/local/rust:ro" \
    --volume "$work/vendor:/vendor:ro" --volume "$work/vendor.toml:/usr/local/cargo/config.toml:ro" \
    --volume "$work/compiled:/build/target" \
    --tag magic-tunnel-exporter:test .
