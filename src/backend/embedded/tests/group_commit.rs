//! Group commit: which writes share a commit, which need none, and what a failing write does to the
//! others.

use super::faulty_disk::FaultyDisk;
use super::{Embedded, engine, open, pending};
use crate::backend::EmbeddedOptions;
use crate::{ErrorKind, Store};
use redb::StorageBackend;
use redb::backends::FileBackend;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[tokio::test]
async fn writers_who_wait_for_the_disk_share_the_next_commit() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    let held = disk.hold();
    let first = pending(store.set("first", "v"));
    held.wait();
    let before = disk.syncs();
    let writes: Vec<_> = (0..64).map(|n| pending(store.set(format!("k{n}"), "v"))).collect();
    assert_eq!(engine(&store).queued(), 64);
    drop(held);
    first.await.unwrap();
    for write in writes {
        write.await.unwrap();
    }
    let syncs = disk.syncs() - before;
    assert!(syncs <= 3, "64 writers took {syncs} syncs");
}

#[tokio::test]
async fn what_goes_together_is_one_commit_and_what_changes_nothing_is_none() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    store.zadd("z", "m", 1.0).await.unwrap();
    let mut before = disk.syncs();
    let mut commits = || disk.syncs() - std::mem::replace(&mut before, disk.syncs());

    let mut batch = store.batch();
    for n in 0..100 {
        batch.set(format!("k{n}"), "v");
    }
    batch.exec().await.unwrap();
    assert_eq!(commits(), 1, "a batch");
    let mut tx = store.atomic_write();
    (0..100).for_each(|n| tx.set(format!("k{n}"), "w"));
    assert!(tx.exec().await.unwrap().is_committed());
    assert_eq!(commits(), 1, "an atomic write");

    assert!(!store.set_nx("k1", "v").await.unwrap());
    let mut tx = store.atomic_write();
    tx.set("new", "v");
    tx.set_nx("k2", "v");
    assert!(!tx.exec().await.unwrap().is_committed());
    store.zadd("z", "m", 1.0).await.unwrap();
    store.zrem("z", "other").await.unwrap();
    assert!(!store.delete("other").await.unwrap());
    assert_eq!(store.incr_by("k1", 1).await.unwrap_err().kind(), ErrorKind::WrongType);
    assert_eq!(commits(), 0, "what changes nothing");
}

#[tokio::test]
async fn one_that_fails_leaves_the_others_of_its_group_committed_and_itself_not() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    store.set("text", "abc").await.unwrap();
    store.set("most", i64::MAX).await.unwrap();
    let held = disk.hold();
    let first = pending(store.set("first", "v"));
    held.wait();
    let mut tx = store.atomic_write();
    tx.set("half", "v");
    tx.incr_by("text", 1);
    let before = pending(store.set("before", "v"));
    let failing = pending(store.incr_by("text", 1));
    let overflow = pending(store.incr_by("most", 1));
    let half = pending(tx.exec());
    let after = pending(store.incr_by("after", 2));
    drop(held);
    first.await.unwrap();
    before.await.unwrap();
    assert_eq!(failing.await.unwrap_err().kind(), ErrorKind::WrongType);
    assert_eq!(overflow.await.unwrap_err().kind(), ErrorKind::Overflow);
    assert_eq!(half.await.unwrap_err().kind(), ErrorKind::WrongType);
    assert_eq!(after.await.unwrap(), 2);

    store.backend().close().await.unwrap();
    let store = open(&disk).await.unwrap();
    let text = async |key: &str| store.get(key).await.unwrap().map(|v| v.to_vec());
    assert_eq!(text("before").await.unwrap(), b"v");
    assert_eq!(text("text").await.unwrap(), b"abc");
    assert_eq!(text("most").await.unwrap(), i64::MAX.to_string().as_bytes());
    assert_eq!(text("half").await, None);
    assert_eq!(text("after").await.unwrap(), b"2");
}

/// A real file that counts syncs.
#[derive(Debug)]
struct Counted {
    file: FileBackend,
    syncs: Arc<AtomicU64>,
}

impl StorageBackend for Counted {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Relaxed);
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}

/// Writes from `callers` tasks. Returns the writes per sync and the writes per second.
async fn rate(callers: u64, each: u64) -> (f64, f64) {
    let dir = tempfile::tempdir().unwrap();
    let (path, syncs) = (dir.path().join("store"), Arc::new(AtomicU64::new(0)));
    let counter = syncs.clone();
    let location = super::Location::TestDouble(Box::new(move || {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
        let file = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Box::new(Counted { file, syncs: counter.clone() }))
    }));
    let engine = super::Redb::open(location, EmbeddedOptions::default()).await.unwrap();
    let store = Store::with_backend(Embedded::new(engine));
    let (before, start) = (syncs.load(Relaxed), Instant::now());
    let tasks: Vec<_> = (0..callers).map(|n| tokio::spawn(write(store.clone(), n, each))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let writes = (callers * each) as f64;
    let syncs = syncs.load(Relaxed) - before;
    (writes / syncs as f64, writes / start.elapsed().max(Duration::from_nanos(1)).as_secs_f64())
}

async fn write(store: Store<Embedded>, caller: u64, each: u64) {
    for n in 0..each {
        store.set(format!("k{caller}:{n}"), "v").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_64_callers_at_least_8_writes_share_a_sync() {
    let (alone, one) = rate(1, 200).await;
    let (together, many) = rate(64, 100).await;
    println!("1 caller:   {alone:5.1} writes a sync, {one:8.0} durable writes a second");
    println!("64 callers: {together:5.1} writes a sync, {many:8.0} durable writes a second");
    println!("64 callers get {:.1} times as much done as 1", many / one);
    assert!(alone <= 1.0, "a single caller shares no sync: {alone}");
    assert!(together >= 8.0, "{together} writes a sync");
}
