//! Runs cargo and other programs from the root of the workspace.

use crate::environment::with_libraries;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::Command;

/// The root directory of the workspace.
pub(crate) fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}

/// A cargo command with `args`, in the root of the workspace.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    with_libraries(&mut command);
    command
}

/// Runs `command`. Returns whether it succeeded.
pub(crate) fn run(command: &mut Command) -> io::Result<bool> {
    eprintln!("+ {}", show(command));
    Ok(command.status()?.success())
}

/// Runs `command` and calls `line` with every line of its stdout and stderr, in order. Returns
/// whether it succeeded.
pub(crate) fn run_lines(command: &mut Command, mut line: impl FnMut(&str)) -> io::Result<bool> {
    eprintln!("+ {}", show(command));
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // `command` still has the write ends of the pipe. The loop ends when all of them are closed.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    for bytes in BufReader::new(reader).split(b'\n') {
        line(&String::from_utf8_lossy(&bytes?));
    }
    Ok(child.wait()?.success())
}

fn show(command: &Command) -> String {
    let name = PathBuf::from(command.get_program());
    let name = name.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
}
