//! The build script does not run again without a reason, and embeds the revision of the source.
//!
//! Each test copies `build.rs` into a package of a few lines, so that a build takes less than a second.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

const MANIFEST: &str = "[package]\nname = \"stamped\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n";
const MAIN: &str = "fn main() { println!(\"{}\", env!(\"MTE_REVISION\")); }\n";

/// A package with the build script of this one.
struct Package {
    folder: TempDir,
    /// Replaces `PATH`.
    path: Option<PathBuf>,
}

impl Package {
    fn new() -> Self {
        let package = Self { folder: tempfile::tempdir().expect("a temporary folder"), path: None };
        fs::create_dir(package.folder.path().join("src")).expect("a folder");
        package.write("Cargo.toml", MANIFEST);
        package.write("src/main.rs", MAIN);
        package.write(".gitignore", "/target\n");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        fs::copy(script, package.folder.path().join("build.rs")).expect("a copy of build.rs");
        assert_succeeds(&package.cargo(&["generate-lockfile"]));
        package
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("a file in a temporary folder");
    }

    /// A command inside the package. Configuration of the user and of an outer repository has no effect.
    fn command(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).args(arguments);
        for name in ["MTE_BUILD_REVISION", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "GIT_DIR", "GIT_WORK_TREE"] {
            command.env_remove(name);
        }
        command.env("GIT_CEILING_DIRECTORIES", env::temp_dir()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        command
    }

    fn cargo(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO"), arguments).env("CARGO_NET_OFFLINE", "true").output().expect("cargo")
    }

    fn git(&self, arguments: &[&str]) {
        let author = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
        let output = self.command("git", &[&author, arguments].concat()).output().expect("git");
        assert_succeeds(&output);
    }

    fn commit(&self) {
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "a change"]);
    }

    fn revision_of_head(&self) -> String {
        let output = self.command("git", &["rev-parse", "--short=12", "HEAD"]).output().expect("git");
        text(&output.stdout)
    }

    /// Builds twice: the second build must neither run the script nor the compiler. Returns the embedded revision.
    fn build_twice(&self) -> String {
        assert_succeeds(&self.cargo(&["build"]));
        let second = assert_succeeds(&self.cargo(&["build", "--verbose"]));
        assert!(second.contains("Fresh stamped") && !second.contains("Running"), "{second}");
        let program = self.command(self.folder.path().join("target/debug/stamped"), &[]).output().expect("the program");
        text(&program.stdout)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// What a successful command wrote to standard error.
fn assert_succeeds(output: &Output) -> String {
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    errors
}

/// A folder that holds links to the programs a build needs, but not to git.
fn programs_without_git(folder: &Path) -> PathBuf {
    let path = env::var_os("PATH").expect("PATH");
    let programs = ["cc", "ld", "as", "gcc", "clang", "lld", "ld.lld", "rustc", "cargo", "rustup"];
    let bin = folder.join("bin");
    fs::create_dir(&bin).expect("a folder");
    for program in programs {
        if let Some(found) = env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file()) {
            std::os::unix::fs::symlink(found, bin.join(program)).expect("a link");
        }
    }
    bin
}

#[test]
fn an_initialized_repository_is_built_once_and_each_commit_is_noticed() {
    let package = Package::new();
    package.git(&["init", "--quiet"]);
    assert_eq!(package.build_twice(), "unknown", "a repository without commits");
    for _ in 0..2 {
        package.commit();
        assert_eq!(package.build_twice(), package.revision_of_head());
    }
    package.git(&["pack-refs", "--all"]);
    assert_eq!(package.build_twice(), package.revision_of_head());
}

#[test]
fn a_fresh_clone_is_built_once_and_each_commit_is_noticed() {
    let origin = Package::new();
    origin.git(&["init", "--quiet"]);
    origin.commit();
    let clone = Package { folder: tempfile::tempdir().expect("a temporary folder"), path: None };
    clone.git(&["clone", "--quiet", &origin.folder.path().display().to_string(), "."]);
    assert_eq!(clone.build_twice(), origin.revision_of_head());
    clone.commit();
    let revision = clone.revision_of_head();
    assert_eq!(clone.build_twice(), revision);
    clone.git(&["checkout", "--quiet", "--detach", "HEAD~1"]);
    assert_eq!(clone.build_twice(), origin.revision_of_head());
    assert_ne!(revision, origin.revision_of_head());
}

#[test]
fn a_plain_folder_is_built_once() {
    assert_eq!(Package::new().build_twice(), "unknown");
}

#[test]
fn a_repository_is_built_once_without_git() {
    let mut package = Package::new();
    package.git(&["init", "--quiet"]);
    package.commit();
    package.path = Some(programs_without_git(package.folder.path()));
    assert_eq!(package.build_twice(), "unknown");
}

#[test]
fn a_given_revision_overrides_the_commit() {
    let package = Package::new();
    package.git(&["init", "--quiet"]);
    package.commit();
    let build = package.command(env!("CARGO"), &["run", "--quiet"]).env("MTE_BUILD_REVISION", "given").output();
    assert_eq!(text(&build.expect("cargo").stdout), "given");
}
