//! `redis-server` for the tests: one that all tests of a process share, and others for tests that kill or fill theirs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where the program is: in `PATH`, or where Debian puts it.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    dirs.extend(["/usr/bin".into(), "/usr/local/bin".into(), "/opt/homebrew/bin".into()]);
    dirs.iter().map(|dir| dir.join("redis-server")).find(|file| file.is_file())
}

/// Whether there is a server to test with. Where there is none, a test that needs it says so and is counted as *not run*;
/// `KVS_REQUIRE=redis` makes that a failure.
pub(crate) fn available() -> bool {
    if program().is_some() {
        return true;
    }
    assert!(
        !super::required("redis"),
        "KVS_REQUIRE names redis, and there is no redis-server; on Debian: apt-get install redis-server"
    );
    false
}

pub(crate) fn free_port() -> u16 {
    // Below the range that the system hands out by itself, so that nobody is given it in between; and one for whose bus
    // (10,000 above) there is room, too.
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

/// A server of one's own. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    dir: TempDir,
    args: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts one with more arguments, such as `["--appendonly", "yes"]`, and waits until it answers.
    pub(crate) fn start(args: &[&str]) -> Server {
        let dir = tempfile::tempdir().expect("a directory");
        let mut server = Server {
            port: free_port(),
            dir,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            child: None,
        };
        server.restart();
        server
    }

    /// Starts it again where it was, with what it has kept.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let program = program().expect("redis-server");
        for _ in 0..5 {
            let mut command = Command::new(&program);
            command
                .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--dir", self.dir.path().to_str().expect("UTF-8")])
                .args(["--unixsocket", self.socket().to_str().expect("UTF-8")])
                .args(["--databases", "10000", "--loglevel", "warning"])
                .args(["--logfile", "redis.log", "--enable-debug-command", "yes"])
                .args(&self.args)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            self.child = Some(command.spawn().expect("redis-server starts"));
            if self.answers() {
                return;
            }
            self.kill();
        }
        let log = std::fs::read_to_string(self.dir.path().join("redis.log")).unwrap_or_default();
        panic!("redis-server does not answer:\n{log}");
    }

    fn answers(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            if self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it without ending it, or lets it go on.
    pub(crate) fn pause(&self, paused: bool) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let signal = if paused { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    /// Sends a command as an administrator would, on a connection of its own.
    pub(crate) fn command(&self, args: &[&str]) -> redis::Value {
        self.try_command(args).expect("the server takes the command")
    }
    pub(crate) fn try_command(&self, args: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url())?;
        let mut cmd = redis::Cmd::new();
        cmd.arg(args);
        cmd.query(&mut client.get_connection_with_timeout(Duration::from_secs(5))?)
    }
    /// One figure of `INFO`.
    pub(crate) fn info(&self, section: &str, name: &str) -> u64 {
        let text: String = redis::from_redis_value(self.command(&["INFO", section])).expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.and_then(|n| n.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server that the tests of this process share. It ends with the process: see `--maxidle`.
static SHARED: LazyLock<Mutex<Server>> = LazyLock::new(|| {
    let server = Server::start(&[]);
    // Statics are never dropped, so someone else has to look after it.
    watch(server.child.as_ref().expect("it runs").id());
    Mutex::new(server)
});

/// Ends the process `pid` when this one has ended, however it has.
#[allow(clippy::zombie_processes, reason = "it outlives this process, and is to")]
fn watch(pid: u32) {
    let script = format!(
        "while kill -0 {} 2>/dev/null; do sleep 0.2; done; kill -9 {pid} 2>/dev/null",
        std::process::id()
    );
    Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh");
}

/// The URL of an empty database of the shared server.
pub(crate) fn database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let port = SHARED.lock().unwrap_or_else(PoisonError::into_inner).port;
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(n < 10_000, "a database for every test");
    format!("redis://127.0.0.1:{port}/{n}")
}

/// Empties a database.
pub(crate) fn flush(url: &str) {
    let client = redis::Client::open(url).expect("a URL");
    let mut connection = client.get_connection().expect("a connection");
    redis::cmd("FLUSHDB").exec(&mut connection).expect("FLUSHDB");
}
