//! The servers that tests need: whether they are there, and how to get them.

use crate::command;
use crate::environment::fdb_home;
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
    programs: &'static [&'static str],
    /// What its client links to.
    library: Option<&'static str>,
    from: From,
}

#[derive(Debug)]
enum From {
    /// A package of Debian.
    Debian(&'static str),
    /// Nowhere that this program could fetch it from.
    Elsewhere(&'static str),
}

pub(crate) const SERVERS: [Server; 2] = [
    Server {
        feature: "redis",
        rows: &["redis", "redis_cluster", "redis_cluster_spread"],
        programs: &["redis-server"],
        library: None,
        from: From::Debian("redis-server"),
    },
    Server {
        feature: "foundationdb",
        rows: &["foundationdb"],
        programs: &["fdbserver", "fdbcli"],
        library: Some("libfdb_c.so"),
        from: From::Elsewhere("docs/foundationdb.md tells where it comes from"),
    },
];

/// Where `name` is: in `home`, in `PATH`, or where packages put it; `tests/support` looks there,
/// too.
fn find(name: &str, home: &str, dirs: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = fdb_home().map(|dir| dir.join(home));
    let dirs =
        home.into_iter().chain(std::env::split_paths(&path)).chain(dirs.iter().map(PathBuf::from));
    dirs.map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn find_program(name: &str) -> Option<PathBuf> {
    find(name, "bin", &["/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"])
}

fn find_library(name: &str) -> Option<PathBuf> {
    let dirs = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib/x86_64-linux-gnu"];
    find(name, "lib", &dirs)
}

/// Whether the run has to fail without the server `name`: `KVS_REQUIRE` names them, separated by
/// commas.
pub(crate) fn is_required(name: &str) -> bool {
    std::env::var("KVS_REQUIRE")
        .is_ok_and(|names| names.split(',').any(|required| required.trim() == name))
}

impl Server {
    fn lacks(&self) -> Option<&'static str> {
        let program = self.programs.iter().find(|program| find_program(program).is_none());
        program.copied().or(self.library.filter(|library| find_library(library).is_none()))
    }

    /// Makes sure that it is here: `None`, or why its tests will not run.
    ///
    /// # Errors
    /// If it is required and not to be had.
    pub(crate) fn missing(&self) -> io::Result<Option<String>> {
        let Some(mut lacks) = self.lacks() else { return self.lacks_libclang() };
        let how = match self.from {
            From::Debian(package) => {
                if install(package)? {
                    match self.lacks() {
                        None => return Ok(None),
                        Some(still) => lacks = still,
                    }
                }
                format!(
                    "on Debian: apt-get install {package} (as root, this command does it by itself)"
                )
            }
            From::Elsewhere(how) => how.to_owned(),
        };
        self.not_run(format!("there is no `{lacks}`; {how}"))
    }

    /// The client of FoundationDB is built with bindgen.
    fn lacks_libclang(&self) -> io::Result<Option<String>> {
        match self.library.is_some() && !has_libclang()? {
            true => self.not_run(NO_LIBCLANG.to_owned()),
            false => Ok(None),
        }
    }

    fn not_run(&self, why: String) -> io::Result<Option<String>> {
        if is_required(self.feature) {
            return Err(io::Error::other(format!("KVS_REQUIRE names {}, and {why}", self.feature)));
        }
        Ok(Some(why))
    }
}

pub(crate) const NO_LIBCLANG: &str = "there is no libclang, which the feature `foundationdb` is built with; on Debian: apt-get install libclang-dev (as \
     root, this command does it by itself)";

/// Whether libclang is here, or can be installed.
pub(crate) fn has_libclang() -> io::Result<bool> {
    Ok(finds_libclang() || (install("libclang-dev")? && finds_libclang()))
}

fn finds_libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let mut dirs = vec!["/usr/lib".into(), "/usr/lib64".into(), "/usr/local/lib".into()];
    dirs.extend(["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"].map(PathBuf::from));
    dirs.push("/opt/homebrew/opt/llvm/lib".into());
    for version in std::fs::read_dir("/usr/lib").into_iter().flatten().flatten() {
        if version.file_name().to_string_lossy().starts_with("llvm") {
            dirs.push(version.path().join("lib"));
        }
    }
    let is_libclang = |entry: &std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("libclang.") || name.starts_with("libclang-") && !name.contains("cpp")
    };
    let entries = dirs.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    entries.into_iter().any(|entry| is_libclang(&entry))
}

/// Whether a package could be installed: on Debian, as root.
fn install(package: &str) -> io::Result<bool> {
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        match command::run(&mut apt) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false), // not a Debian
            result => result,
        }
    };
    let install = ["install", "--yes", "--no-install-recommends", package];
    // The list of packages may be old, or not there at all.
    Ok(is_root() && (apt(&install)? || (apt(&["update"])? && apt(&install)?)))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
