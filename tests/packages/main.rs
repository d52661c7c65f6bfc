//! What users install: the image, the unit, the manifests, the stack and the package, each tried with the programs that will read it.
//!
//! Much of it needs root or a program that is not everywhere: such a test says so and passes, under `CI=true` it fails. What takes
//! minutes to make stays in `target/packages`.

mod compose;
mod debian;
mod image;
mod kubernetes;
mod support;
mod systemd;
