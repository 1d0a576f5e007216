//! The servers that tests need: finds them, and installs them on Debian.

use crate::command;
use crate::environment::fdb_home;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// A server that the tests of a backend need.
#[derive(Debug)]
pub(crate) struct Server {
    /// The feature, which is disabled if the server is missing.
    pub(crate) feature: &'static str,
    /// The rows of the table: modules of `tests/conformance.rs`.
    pub(crate) rows: &'static [&'static str],
    programs: &'static [&'static str],
    /// The library that its client links to.
    library: Option<&'static str>,
    from: From,
}

#[derive(Debug)]
enum From {
    /// A Debian package.
    Debian(&'static str),
    /// No package: instructions for a manual installation.
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
        from: From::Elsewhere("docs/foundationdb.md has the instructions"),
    },
];

/// The path of the file `name`: in the directory `home` of `FDB_HOME`, in `PATH`, or in `dirs`.
/// `tests/support` searches the same directories.
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

/// Whether the run must fail without the server `name`. `KVS_REQUIRE` lists the required servers,
/// separated by commas.
pub(crate) fn is_required(name: &str) -> bool {
    std::env::var("KVS_REQUIRE")
        .is_ok_and(|names| names.split(',').any(|required| required.trim() == name))
}

impl Server {
    /// The program or library that is missing.
    fn missing_file(&self) -> Option<&'static str> {
        let program = self.programs.iter().find(|program| find_program(program).is_none());
        program.copied().or(self.library.filter(|library| find_library(library).is_none()))
    }

    /// Installs the server if necessary. Returns why its tests cannot run, or `None` if they can.
    ///
    /// # Errors
    /// If the server is required and cannot be installed.
    pub(crate) fn missing(&self) -> io::Result<Option<String>> {
        let Some(mut file) = self.missing_file() else { return self.missing_libclang() };
        let how = match self.from {
            From::Debian(package) => {
                if install(package)? {
                    match self.missing_file() {
                        None => return Ok(None),
                        Some(still) => file = still,
                    }
                }
                format!(
                    "on Debian: apt-get install {package} (as root, this command runs it itself)"
                )
            }
            From::Elsewhere(how) => how.to_owned(),
        };
        self.not_run(format!("there is no `{file}`; {how}"))
    }

    /// The build of the FoundationDB client needs libclang, for bindgen.
    fn missing_libclang(&self) -> io::Result<Option<String>> {
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

pub(crate) const NO_LIBCLANG: &str = concat!(
    "there is no libclang, which the build of the feature `foundationdb` needs; on Debian: ",
    "apt-get install libclang-dev (as root, this command runs it itself)",
);

/// Whether libclang is installed. Tries to install it.
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

/// Installs a Debian package. Returns false if this is not Debian, not root, or the installation
/// fails.
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
    // The package lists may be outdated or missing.
    Ok(is_root() && (apt(&install)? || (apt(&["update"])? && apt(&install)?)))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
