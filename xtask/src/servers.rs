//! The servers that tests need: whether they are there, and how to get them.

use crate::command;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// A backend whose tests need a program.
#[derive(Debug)]
pub(crate) struct Server {
    /// The feature, which is left out where the program is missing.
    pub(crate) feature: &'static str,
    /// The rows of the table: modules of `tests/conformance.rs`.
    pub(crate) rows: &'static [&'static str],
    program: &'static str,
    /// The package of Debian that has it.
    package: &'static str,
}

pub(crate) const SERVERS: [Server; 1] = [Server {
    feature: "redis",
    rows: &["redis", "redis_cluster", "redis_cluster_spread"],
    program: "redis-server",
    package: "redis-server",
}];

/// Whether the run has to fail without the server `name`: `KVS_REQUIRE` names them, separated by commas.
pub(crate) fn is_required(name: &str) -> bool {
    std::env::var("KVS_REQUIRE")
        .is_ok_and(|names| names.split(',').any(|required| required.trim() == name))
}

impl Server {
    fn is_here(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
        // Where packages put it, whatever `PATH` says; `tests/support` looks there, too.
        dirs.extend(["/usr/bin".into(), "/usr/local/bin".into(), "/opt/homebrew/bin".into()]);
        dirs.iter().any(|dir| dir.join(self.program).is_file())
    }

    /// Makes sure that it is here: `None`, or why its tests will not run.
    ///
    /// # Errors
    /// If it is required and not to be had.
    pub(crate) fn missing(&self) -> io::Result<Option<String>> {
        if self.is_here() || (is_root() && self.install()? && self.is_here()) {
            return Ok(None);
        }
        let why = format!(
            "there is no `{}`; on Debian: apt-get install {} (as root, this command does it by itself)",
            self.program, self.package
        );
        if is_required(self.feature) {
            return Err(io::Error::other(format!("KVS_REQUIRE names {}, and {why}", self.feature)));
        }
        Ok(Some(why))
    }

    fn install(&self) -> io::Result<bool> {
        let apt = |args: &[&str]| {
            let mut apt = Command::new("apt-get");
            apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
            match command::run(&mut apt) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false), // not a Debian
                result => result,
            }
        };
        let install = ["install", "--yes", "--no-install-recommends", self.package];
        // The list of packages may be old, or not there at all.
        Ok(apt(&install)? || (apt(&["update"])? && apt(&install)?))
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
