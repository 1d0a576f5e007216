//! What all servers of the tests need: their program, a port, and somebody who ends them.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// Where a program is: in `home`, in `PATH`, or where packages put it.
pub(crate) fn program(name: &str, home: Option<PathBuf>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = home.into_iter().chain(std::env::split_paths(&path)).collect();
    dirs.extend(
        ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"].map(PathBuf::from),
    );
    dirs.iter().map(|dir| dir.join(name)).find(|file| file.is_file())
}

pub(crate) fn free_port() -> u16 {
    // Below the range that the system hands out by itself, so that nobody is given it in between;
    // and one for whose bus (10,000 above, in a cluster of Redis) there is room, too.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed) * 7 + std::process::id() * 13;
        let port = 12_000 + (n % 9_000) as u16;
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + 10_000) {
            return port;
        }
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill").success());
}

/// Ends the process `pid` when this one has ended, however it has, and removes `dir`, which is that
/// of a server: statics are never dropped.
pub(crate) fn watch(pid: u32, dir: &TempDir) {
    let script = format!(
        "while kill -0 {} 2>/dev/null; do sleep 0.2; done
         kill -9 {pid} 2>/dev/null; sleep 0.2; rm -rf \"$1\"",
        std::process::id()
    );
    let mut watch = Command::new("sh")
        .args(["-c", &script, "watch"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh");
    std::thread::spawn(move || watch.wait());
}
