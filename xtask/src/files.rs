//! The files that are checked as text.

use crate::command::root;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directories whose files are checked. Those of the root are, too.
const DIRS: [&str; 7] = [".github", "benches", "docs", "examples", "src", "tests", "xtask"];

/// All Rust, Markdown and Lua files of the project.
pub(crate) fn files() -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(&root(), false, &mut files)?;
    for dir in DIRS {
        collect(&root().join(dir), true, &mut files)?;
    }
    Ok(files)
}

/// Adds the files of `dir` in the order of their names, with those below it if `deep`.
fn collect(dir: &Path, deep: bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if deep {
                collect(&path, deep, files)?;
            }
        } else if path.extension().is_some_and(|e| e == "rs" || e == "md" || e == "lua") {
            files.push(path);
        }
    }
    Ok(())
}
