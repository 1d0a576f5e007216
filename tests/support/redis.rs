//! `redis-server` for the tests: one that all tests of a process share, and separate ones for tests
//! that kill or fill theirs; and clusters.

use super::process::{free_port, program, signal, watch};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MISSING: &str = "there is no `redis-server`; on Debian: apt-get install redis-server. \
                       Without one, leave out the feature `redis`, as `cargo xtask test` does";

/// The program, from `KVS_REDIS_SERVER` or the system, and its major version.
static PROGRAM: LazyLock<(PathBuf, u32)> = LazyLock::new(|| {
    let named = std::env::var_os("KVS_REDIS_SERVER").map(PathBuf::from);
    let program = named.or_else(|| program("redis-server", None)).expect(MISSING);
    let output = Command::new(&program).arg("--version").output().expect("redis-server starts");
    let text = String::from_utf8_lossy(&output.stdout); // "Redis server v=7.0.15 sha=…"
    let version = text.split_once("v=").and_then(|(_, v)| v.split('.').next()?.parse().ok());
    (program, version.unwrap_or_else(|| panic!("`{text}` has no version")))
});

/// The major version of `redis-server`.
pub(crate) fn version() -> u32 {
    PROGRAM.1
}

/// A separate server. It is killed on drop.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    dir: TempDir,
    args: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts a server with additional arguments, such as `["--appendonly", "yes"]`, and waits
    /// until it accepts connections.
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

    /// Restarts the server with the same port and directory.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let (program, version) = &*PROGRAM;
        // Before Redis 7 `DEBUG` is always enabled.
        let debug: &[&str] = if *version < 7 { &[] } else { &["--enable-debug-command", "yes"] };
        for _ in 0..5 {
            let mut command = Command::new(program);
            command
                .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--dir", self.dir.path().to_str().expect("UTF-8")])
                .args(["--unixsocket", self.socket().to_str().expect("UTF-8")])
                .args(["--loglevel", "warning"])
                .args(["--logfile", "redis.log"])
                .args(debug)
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
            // The server opens the socket last.
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
                && self.socket().exists()
            {
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

    /// SIGSTOP or SIGCONT.
    pub(crate) fn pause(&self, paused: bool) {
        let pid = self.child.as_ref().expect("it runs").id();
        signal(pid, if paused { "STOP" } else { "CONT" });
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

    /// Sends a command on a separate connection, with all permissions.
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

/// The server that the tests of this process share.
static SHARED: LazyLock<Mutex<Server>> = LazyLock::new(|| {
    // Only this server has many databases: with them, `FLUSHALL` takes 0.1 s on Redis 8.
    let server = Server::start(&["--databases", "10000"]);
    // Statics are never dropped: a watchdog kills the server.
    watch(server.child.as_ref().expect("it runs").id(), &server.dir);
    Mutex::new(server)
});

/// The URL of an empty database of the shared server.
pub(crate) fn database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let port = SHARED.lock().unwrap_or_else(PoisonError::into_inner).port;
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(n < 10_000, "a database for every test");
    format!("redis://127.0.0.1:{port}/{n}")
}

/// The permissions in the docs of `Redis`.
const ACL: &str = include_str!("../../src/backend/redis/acl.txt");

impl Server {
    /// Creates a user with the permissions of the docs for these keys, and `more`. Returns the URL
    /// for that user.
    pub(crate) fn user(&self, name: &str, keys: &[&str], more: &[&str]) -> String {
        let rules = ACL.split_whitespace().flat_map(|rule| match rule {
            "app" => vec![name],
            "~*" => keys.to_vec(),
            rule => vec![rule],
        });
        let rules: Vec<&str> = rules.chain(more.iter().copied()).collect();
        self.command(&rules);
        self.url().replace("redis://", &format!("redis://{name}:password@"))
    }
}

/// The URL of an empty database of the shared server, for a user with the permissions of the docs
/// for these keys.
pub(crate) fn database_of_user(name: &str, keys: &[&str]) -> String {
    let url = database();
    let server = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let user = server.user(name, keys, &[]);
    format!("{user}{}", url.rsplit('/').next().unwrap_or_default())
}

/// Empties a database.
pub(crate) fn flush(url: &str) {
    let client = redis::Client::open(url).expect("a URL");
    let mut connection = client.get_connection().expect("a connection");
    redis::cmd("FLUSHDB").exec(&mut connection).expect("FLUSHDB");
}

/// A cluster: primaries, and replicas of some of them.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
}

impl Cluster {
    /// Starts `primaries` servers that share all slots evenly, and one replica for each of the
    /// first `replicas`.
    pub(crate) fn start(primaries: usize, replicas: usize) -> Cluster {
        let args =
            ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--databases", "1"];
        let nodes: Vec<Server> = (0..primaries + replicas).map(|_| Server::start(&args)).collect();
        let cluster = Cluster { nodes };
        for (i, node) in cluster.nodes[..primaries].iter().enumerate() {
            let slots = 16_384 * i / primaries..16_384 * (i + 1) / primaries;
            let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
            let mut add = vec!["CLUSTER", "ADDSLOTS"];
            add.extend(slots.iter().map(String::as_str));
            node.command(&add);
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]);
        }
        for node in &cluster.nodes[1..] {
            let port = cluster.nodes[0].port.to_string();
            node.command(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        let all = cluster.nodes.len().to_string();
        cluster.wait(|node| node.cluster_info("cluster_known_nodes").as_deref() == Some(&all));
        for (primary, replica) in cluster.nodes.iter().zip(&cluster.nodes[primaries..]) {
            replica.command(&["CLUSTER", "REPLICATE", &primary.id()]);
        }
        cluster.wait(|node| node.cluster_info("cluster_state").as_deref() == Some("ok"));
        // Each node must know all others and their roles.
        let known = |node: &Server| {
            let slots = format!("{:?}", node.command(&["CLUSTER", "SLOTS"]));
            cluster.nodes.iter().all(|other| slots.contains(&format!("int({})", other.port)))
        };
        cluster.wait(known);
        for replica in &cluster.nodes[primaries..] {
            let start = Instant::now();
            while !replica.replication().contains("master_link_status:up") {
                assert!(start.elapsed() < Duration::from_secs(30), "the replica does not sync");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        cluster
    }

    fn wait(&self, done: impl Fn(&Server) -> bool) {
        let start = Instant::now();
        while !self.nodes.iter().all(&done) {
            assert!(start.elapsed() < Duration::from_secs(30), "the cluster does not form");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn url(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(Server::address).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }

    /// Moves a slot with all its keys to another node, with the steps of `redis-cli --cluster
    /// reshard`. `between` runs while the slot is migrating, after half of its keys have moved.
    pub(crate) fn move_slot(&self, slot: u16, from: usize, to: usize, between: impl FnOnce()) {
        let slot = slot.to_string();
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        target.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source.id()]);
        source.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target.id()]);
        let keys = || -> Vec<String> {
            let keys = source.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "1000000"]);
            redis::from_redis_value(keys).expect("keys")
        };
        let port = target.port.to_string();
        let migrate = |key: &String| {
            source.command(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
        };
        let all = keys();
        all[..all.len() / 2].iter().for_each(migrate);
        between();
        loop {
            let rest = keys();
            if rest.is_empty() {
                break;
            }
            rest.iter().for_each(migrate);
        }
        for node in [target, source] {
            node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &target.id()]);
        }
    }
}

impl Server {
    fn id(&self) -> String {
        redis::from_redis_value(self.command(&["CLUSTER", "MYID"])).expect("an id")
    }
    fn cluster_info(&self, name: &str) -> Option<String> {
        let text: String = redis::from_redis_value(self.command(&["CLUSTER", "INFO"])).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")))?;
        Some(line.trim().to_owned())
    }
    /// How many times clients have called a command.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let text: String =
            redis::from_redis_value(self.command(&["INFO", "commandstats"])).expect("text");
        let start = format!("cmdstat_{command}:calls=");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.and_then(|n| n.split(',').next()?.parse().ok()).unwrap_or(0)
    }
    fn replication(&self) -> String {
        redis::from_redis_value(self.command(&["INFO", "replication"])).expect("text")
    }
}

/// The cluster that the tests of this process share.
static SHARED_CLUSTER: LazyLock<Mutex<Cluster>> = LazyLock::new(|| {
    let cluster = Cluster::start(3, 0);
    for node in &cluster.nodes {
        watch(node.child.as_ref().expect("it runs").id(), &node.dir);
    }
    Mutex::new(cluster)
});

/// The URL of the shared cluster, and a number that is unique to the test.
pub(crate) fn cluster() -> (String, u32) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let url = SHARED_CLUSTER.lock().unwrap_or_else(PoisonError::into_inner).url();
    (url, NEXT.fetch_add(1, Ordering::Relaxed))
}
