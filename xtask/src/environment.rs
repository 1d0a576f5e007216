//! Environment variables: `FDB_HOME`, and the library path of the commands that xtask runs.

use std::path::PathBuf;
use std::process::Command;

/// The directory of a FoundationDB that no package installed (`FDB_HOME`). It contains `bin` and
/// `lib`.
pub(crate) fn fdb_home() -> Option<PathBuf> {
    std::env::var_os("FDB_HOME").map(PathBuf::from)
}

/// Adds `FDB_HOME/lib` to the library path of `command`, so that the programs that it starts load
/// the client library of FoundationDB. `build.rs` does the same for the linker.
pub(crate) fn with_libraries(command: &mut Command) {
    if let Some(lib) = fdb_home().map(|home| home.join("lib")) {
        let known = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let all = std::iter::once(lib).chain(std::env::split_paths(&known));
        if let Ok(all) = std::env::join_paths(all.filter(|dir| !dir.as_os_str().is_empty())) {
            command.env("LD_LIBRARY_PATH", all);
        }
    }
}
