//! The embedded store compared with bare redb, doing the same work in the same run.
//!
//! 100-byte values, 1,000 keys. On both sides a write is durable when it returns. The bare side
//! uses redb well:
//!
//! - a transaction per write with one caller; with 64 callers a thread that commits all waiting
//!   writes in one transaction;
//! - a transaction and a table per read, on the caller's thread, which an async program must not
//!   do, and through tokio's `spawn_blocking`.

use keyvaluestore::{Embedded, Store};
use redb::{Database, ReadableDatabase, TableDefinition};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
const VALUE: [u8; 100] = [b'v'; 100];
const FOR: Duration = Duration::from_millis(1_500);

fn key(i: u64) -> String {
    format!("key:{:06}", i.wrapping_mul(0x9e37_79b9) % 1_000)
}

/// Calls per second of `callers` threads.
fn threads(callers: u64, call: impl Fn(u64) + Sync) -> f64 {
    let start = Instant::now();
    let done: u64 = thread::scope(|scope| {
        let call = &call;
        let work = move |caller: u64| {
            let mut n = 0;
            while start.elapsed() < FOR {
                call(caller * 1_000_003 + n);
                n += 1;
            }
            n
        };
        let callers: Vec<_> = (0..callers).map(|c| scope.spawn(move || work(c))).collect();
        callers.into_iter().map(|c| c.join().expect("no panics")).sum()
    });
    done as f64 / start.elapsed().as_secs_f64()
}

/// Calls per second of `callers` tasks.
async fn tasks<F: Future<Output = ()> + Send + 'static>(
    callers: u64,
    call: impl Fn(u64) -> F + Clone + Send + Sync + 'static,
) -> f64 {
    let start = Instant::now();
    let work = move |caller: u64| {
        let call = call.clone();
        async move {
            let mut n = 0;
            while start.elapsed() < FOR {
                call(caller * 1_000_003 + n).await;
                n += 1;
            }
            n
        }
    };
    let callers: Vec<_> = (0..callers).map(|c| tokio::spawn(work(c))).collect();
    let mut done = 0;
    for caller in callers {
        done += caller.await.expect("no panics");
    }
    done as f64 / start.elapsed().as_secs_f64()
}

struct Bare(Arc<Database>);

impl Bare {
    fn create(path: &Path) -> Self {
        let bare = Bare(Arc::new(Database::create(path).expect("a new file")));
        let tx = bare.0.begin_write().expect("no other writer");
        {
            let mut table = tx.open_table(TABLE).expect("a table");
            for i in 0..1_000 {
                let key = format!("key:{i:06}");
                table.insert(key.as_bytes(), &VALUE[..]).expect("a row");
            }
        }
        tx.commit().expect("a commit");
        bare
    }
    fn write(&self, keys: &[String]) {
        let tx = self.0.begin_write().expect("no other writer");
        {
            let mut table = tx.open_table(TABLE).expect("a table");
            for key in keys {
                table.insert(key.as_bytes(), &VALUE[..]).expect("a row");
            }
        }
        tx.commit().expect("a commit");
    }
    fn read(&self, key: &str) {
        let tx = self.0.begin_read().expect("a snapshot");
        let table = tx.open_table(TABLE).expect("a table");
        let value = table.get(key.as_bytes()).expect("a read").map(|v| v.value().to_vec());
        assert_eq!(black_box(value).map_or(0, |v| v.len()), 100);
    }
    /// A thread that commits all waiting writes together.
    fn grouped(&self) -> Sender<(String, SyncSender<()>)> {
        let (sender, jobs) = channel::<(String, SyncSender<()>)>();
        let bare = Bare(self.0.clone());
        thread::spawn(move || {
            while let Ok(first) = jobs.recv() {
                let group: Vec<_> = std::iter::once(first).chain(jobs.try_iter()).collect();
                let (keys, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
                bare.write(&keys);
                answers.iter().for_each(|answer| answer.send(()).expect("a caller waits"));
            }
        });
        sender
    }
}

async fn read(store: &Store, i: u64) {
    let value = store.get(key(i)).await.expect("a read");
    assert_eq!(black_box(value).map_or(0, |v| v.len()), 100);
}

fn row(what: &str, bare: f64, ours: f64) {
    println!("{what:<44} {bare:>12.0} {ours:>12.0} {:>7.2}", bare / ours);
}

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let bare = Bare::create(&dir.path().join("bare"));
    let store = Store::new(Embedded::open(dir.path().join("ours")).await.expect("a new file"));
    for i in 0..1_000 {
        store.set(format!("key:{i:06}"), VALUE).await.expect("a write");
    }
    println!("{:<44} {:>12} {:>12} {:>7}", "embedded, per second", "bare redb", "ours", "ratio");
    let gain = compare_writes(&bare, &store).await;
    compare_reads(&bare, &store).await;
    compare_batches(&bare, &store).await;
    println!("64 callers get {gain:.1} times the durable writes of one");
}

/// Returns how many times the writes of one caller 64 callers get.
async fn compare_writes(bare: &Bare, store: &Store) -> f64 {
    let s = store.clone();
    let set = move |i| {
        let s = s.clone();
        async move { s.set(key(i), VALUE).await.expect("a write") }
    };
    let one = threads(1, |i| bare.write(&[key(i)]));
    let ours_one = tasks(1, set.clone()).await;
    row("durable set, 1 caller", one, ours_one);
    let group = bare.grouped();
    let many = threads(64, |i| {
        let (answer, answered) = sync_channel(1);
        group.send((key(i), answer)).expect("the thread runs");
        answered.recv().expect("it was written");
    });
    let ours_many = tasks(64, set).await;
    row("durable set, 64 callers, one commit for all", many, ours_many);
    ours_many / ours_one
}

async fn compare_reads(bare: &Bare, store: &Store) {
    let s = store.clone();
    let get = move |i| {
        let s = s.clone();
        async move { read(&s, i).await }
    };
    let direct = threads(1, |i| bare.read(&key(i)));
    row("get, 1 caller", direct, tasks(1, get.clone()).await);
    let direct = threads(2, |i| bare.read(&key(i)));
    row("get, 64 callers on 2 threads", direct, tasks(64, get.clone()).await);
    let db = bare.0.clone();
    let blocking = move |i| {
        let bare = Bare(db.clone());
        let read = tokio::task::spawn_blocking(move || bare.read(&key(i)));
        async move { read.await.expect("no panics") }
    };
    let bare_one = tasks(1, blocking.clone()).await;
    row("get, 1 caller; bare: spawn_blocking", bare_one, tasks(1, get.clone()).await);
    row("get, 64 callers; bare: spawn_blocking", tasks(64, blocking).await, tasks(64, get).await);
}

async fn compare_batches(bare: &Bare, store: &Store) {
    let hundred = threads(1, |i| (0..100).for_each(|j| bare.read(&key(i + j))));
    let s = store.clone();
    let batch = move |i| {
        let s = s.clone();
        async move {
            let mut batch = s.batch();
            for j in 0..100 {
                batch.get(key(i + j));
            }
            black_box(batch.exec().await.expect("a batch"));
        }
    };
    row("batch of 100 gets, 1 caller", hundred, tasks(1, batch).await);
}
