//! The artifacts, the image, the systemd unit, the Kubernetes manifests, the Helm chart and the Compose stack, each
//! checked with the programs that read it in production. `make test-packages` runs these tests.
//!
//! Many of them need root or a program that may be missing: such a test prints a message and passes; with `CI=true` it
//! fails. Results that take minutes to make stay in `target/packages`.

mod booted;
mod compose;
mod containers;
mod debian;
mod dist;
mod image;
mod kubernetes;
mod machine;
mod podman;
mod support;
mod systemd;
