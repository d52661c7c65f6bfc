#!/bin/sh
# Makes the images of Prometheus and Alertmanager under the names in a Compose file: the programs of the Debian packages
# on this machine, in the base image that image.sh makes. Users, commands and volumes are those of the real images.
# Needs root.
#   compose-images.sh FILE
set -eu
cd "$(dirname "$0")/../.."

named() {
    sed -n "s/^    image: \(.*\/$2:.*\)/\1/p" "$1"
}

# Makes the image $1 of the program $2, which is /bin/$3 there and has a volume /$3.
image_of() {
    container=$(tests/packages/buildah from --pull-never "$(sed -n 's/^ARG RUNTIME_IMAGE=\(.*\)@.*/\1/p' Dockerfile)")
    tests/packages/buildah copy --quiet "$container" "$2" "/bin/$3" >/dev/null
    # The templates, which the package does not compile into the program.
    if [ -d "/usr/share/prometheus/$3" ]; then
        tests/packages/buildah copy --quiet "$container" "/usr/share/prometheus/$3" "/usr/share/prometheus/$3" >/dev/null
    fi
    empty=$(mktemp -d)
    tests/packages/buildah copy --quiet --chown 65534:65534 "$container" "$empty" "/$3" >/dev/null
    rmdir "$empty"
    tests/packages/buildah config --user 65534:65534 --workingdir "/$3" --volume "/$3" --entrypoint "[\"/bin/$3\"]" \
        --cmd "--config.file=/etc/$3/$3.yml $4=/$3" "$container"
    tests/packages/buildah commit --quiet --rm "$container" "$1" >/dev/null
}

image_of "$(named "$1" prometheus)" /usr/bin/prometheus prometheus --storage.tsdb.path
image_of "$(named "$1" alertmanager)" /usr/bin/prometheus-alertmanager alertmanager --storage.path
