//! FoundationDB clusters of one process for tests: one that the tests of a process share, in
//! different subspaces, and separate ones for tests that kill or pause the server. `fdbserver` and
//! `fdbcli` are searched in `$FDB_HOME/bin`, in `PATH`, and where packages install them.

use super::process::{free_port, program, signal, watch};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn find(name: &str) -> PathBuf {
    let home = std::env::var_os("FDB_HOME").map(|home| PathBuf::from(home).join("bin"));
    program(name, home).unwrap_or_else(|| {
        panic!(
            "`{name}` is not installed. Leave out the feature `foundationdb`, as `cargo xtask \
             test` does"
        )
    })
}

/// A cluster of one process. Killed on drop.
#[derive(Debug)]
pub(crate) struct Cluster {
    port: u16,
    dir: TempDir,
    child: Option<Child>,
}

impl Cluster {
    /// Starts a cluster with an empty database.
    pub(crate) fn start() -> Cluster {
        for _ in 0..3 {
            let mut cluster = Cluster {
                port: free_port(),
                dir: tempfile::tempdir().expect("a directory"),
                child: None,
            };
            let address = format!("test:test@127.0.0.1:{}\n", cluster.port);
            std::fs::write(cluster.file(), address).expect("a cluster file");
            cluster.restart();
            // The server takes a moment to listen, and another to open the database.
            if cluster.cli("configure new single ssd") && cluster.cli("writemode on; clear a") {
                return cluster;
            }
        }
        panic!("fdbserver does not make a database");
    }

    /// The cluster file.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("fdb.cluster")
    }
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Restarts the server with its data.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let child = Command::new(find("fdbserver"))
            .arg("--public-address")
            .arg(format!("127.0.0.1:{}", self.port))
            .arg("--cluster-file")
            .arg(self.file())
            .arg("--datadir")
            .arg(self.dir.path().join("data"))
            .arg("--logdir")
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("fdbserver starts");
        self.child = Some(child);
    }

    /// Runs `fdbcli` commands. Returns whether they succeeded within 30 seconds.
    pub(crate) fn cli(&self, commands: &str) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            let mut cli = Command::new(find("fdbcli"));
            cli.arg("-C").arg(self.file()).args(["--timeout", "10", "--exec", commands]);
            let output = cli.stdin(Stdio::null()).output().expect("fdbcli");
            let said = String::from_utf8_lossy(&output.stdout);
            // An earlier attempt succeeded, and its reply was lost.
            if output.status.success() || said.contains("Database already exists") {
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }
    /// Kills the server with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
    /// Pauses the server (SIGSTOP), or resumes it (SIGCONT).
    pub(crate) fn pause(&self, paused: bool) {
        signal(self.pid(), if paused { "STOP" } else { "CONT" });
    }

    pub(crate) fn url(&self, options: &str) -> String {
        format!("foundationdb:{}?{options}", self.file().display())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The cluster that the tests of this process share.
static SHARED: LazyLock<Mutex<Cluster>> = LazyLock::new(|| {
    let cluster = Cluster::start();
    watch(cluster.pid(), &cluster.dir);
    Mutex::new(cluster)
});

/// The URL of an empty subspace of the shared cluster.
pub(crate) fn subspace() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.url(&format!("subspace=tests/{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}
