//! A process that is killed while it writes: no write that returned is lost, none is applied in
//! part, and the file opens.
//!
//! The child process is this test binary. An environment variable makes one of its tests write
//! until it is killed, and print a line after each write that returned.
#![cfg(all(unix, feature = "embedded"))]
#![allow(clippy::unwrap_used, clippy::panic)] // nothing here is production code

use keyvaluestore::{Embedded, Error, Store};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::Duration;

const FILE: &str = "KEYVALUESTORE_TEST_CRASH_FILE";
const DIRECTORY: &str = "KEYVALUESTORE_TEST_CRASH_DIRECTORY";
const RUN: &str = "KEYVALUESTORE_TEST_CRASH_RUN";
const WRITERS: usize = 8;
/// The writes of run `n` have numbers from `n` times this on. No run gets further.
const WRITES_PER_RUN: u64 = 1 << 32;

fn report(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

async fn write(store: Store, w: usize, run: u64) -> Result<(), Error> {
    for n in run * WRITES_PER_RUN + 1.. {
        store.set(format!("plain{w}:{n}"), n).await?;
        report(format_args!("plain {w} {n}"));
        store.zhadd(format!("sorted{w}"), n, format!("v{n}"), n as f64).await?;
        report(format_args!("sorted {w} {n}"));
        store.incr_by(format!("count{w}"), 1).await?;
        report(format_args!("count {w} {n}"));
        let mut tx = store.atomic_write();
        tx.set(format!("atomic{w}"), n);
        tx.zhadd("atomic", w as u64, n, n as f64);
        tx.incr_by(format!("atomic_count{w}"), 1);
        assert!(tx.exec().await?.is_committed());
        report(format_args!("atomic {w} {n}"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_a_child_it_writes_until_it_is_killed() {
    let (Ok(path), Ok(run)) = (std::env::var(FILE), std::env::var(RUN)) else { return };
    let run = run.parse().unwrap();
    // The test harness has printed part of a line.
    report(format_args!("\nopening 0 0"));
    let store = Store::open(format!("file:{path}")).await.unwrap();
    let tasks: Vec<_> = (0..WRITERS).map(|w| tokio::spawn(write(store.clone(), w, run))).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

/// The writes of one writer that returned, in all runs.
#[derive(Clone, Debug, Default)]
struct Writer {
    plain: BTreeSet<u64>,
    sorted: BTreeSet<u64>,
    /// The last one in this run, if any.
    atomic: u64,
    counted: i64,
    atomic_counted: i64,
}

impl Writer {
    fn record(&mut self, kind: &str, n: u64) {
        match kind {
            "plain" => drop(self.plain.insert(n)),
            "sorted" => drop(self.sorted.insert(n)),
            "count" => self.counted += 1,
            "atomic" => (self.atomic, self.atomic_counted) = (n, self.atomic_counted + 1),
            other => panic!("the child says {other}"),
        }
    }
}

/// A process that is killed with SIGKILL on drop.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("it is a child of this process");
    }
}

fn start(test: &str, variables: &[(&str, OsString)]) -> KillOnDrop {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .envs(variables.iter().cloned())
        .stdout(Stdio::piped())
        .spawn();
    KillOnDrop(child.unwrap())
}

/// The reports of the child, as they arrive.
fn reports(child: &mut KillOnDrop) -> Receiver<(String, usize, u64)> {
    let out = BufReader::new(child.0.stdout.take().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let words: Vec<_> = line.split(' ').collect();
            if let [kind, w, n] = words[..]
                && let (Ok(w), Ok(n)) = (w.parse(), n.parse())
            {
                let _ = sender.send((kind.to_owned(), w, n));
            }
        }
    });
    receiver
}

/// Lets a child write, and kills it `after` it has started to open the file (`early`), or after its
/// first write. Returns the number of writes that returned.
fn run_and_kill(
    path: &Path,
    run: u64,
    early: bool,
    after: Duration,
    writers: &mut [Writer],
) -> usize {
    let variables = [(FILE, path.into()), (RUN, run.to_string().into())];
    let mut child = start("as_a_child_it_writes_until_it_is_killed", &variables);
    let lines = reports(&mut child);
    assert_eq!(lines.recv().expect("the child starts").0, "opening");
    let first = (!early).then(|| lines.recv().expect("the child writes"));
    sleep(after);
    drop(child);
    let answers = first.into_iter().chain(lines);
    answers.map(|(kind, w, n)| writers[w].record(&kind, n)).count()
}

async fn number(store: &Store, key: String) -> i64 {
    let value = store.get(key).await.unwrap();
    value.map_or(0, |v| String::from_utf8_lossy(v.as_ref()).parse().unwrap())
}

/// A writer waits for each reply, so at most one more write is applied than has returned.
async fn check(store: &Store, w: usize, writer: &mut Writer) {
    for n in &writer.plain {
        assert_eq!(number(store, format!("plain{w}:{n}")).await, *n as i64);
    }
    let sorted = store.zrange(format!("sorted{w}")).by_score(..).with_scores().await.unwrap();
    let values = store.zhrange(format!("sorted{w}")).by_score(..).await.unwrap();
    let mut found = BTreeSet::new();
    for ((field, score), value) in sorted.iter().zip(&values) {
        assert!(
            *field == score.to_string() && *value == format!("v{score}"),
            "{field:?}: {value:?}"
        );
        found.insert(*score as u64);
    }
    assert!(found.is_superset(&writer.sorted), "{w}: {found:?} lacks some of {:?}", writer.sorted);
    assert!(found.len() <= writer.sorted.len() + 1 && values.len() == found.len());
    let counted = number(store, format!("count{w}")).await;
    assert!((writer.counted..=writer.counted + 1).contains(&counted), "{counted}: {writer:?}");
    (writer.sorted, writer.counted) = (found, counted);
    check_atomic(store, w, writer).await;
}

async fn check_atomic(store: &Store, w: usize, writer: &mut Writer) {
    let n = number(store, format!("atomic{w}")).await as u64;
    let field = store.zhget("atomic", w as u64).await.unwrap();
    assert_eq!(field, (n > 0).then(|| n.to_string().into()), "{w} is torn");
    assert_eq!(store.zscore("atomic", w as u64).await.unwrap().unwrap_or(0.0), n as f64);
    let counted = number(store, format!("atomic_count{w}")).await;
    let expected = if n == writer.atomic { 0 } else { 1 };
    assert_eq!(counted, writer.atomic_counted + expected, "{w} is torn: {n}, {writer:?}");
    assert!(
        n == writer.atomic || n % WRITES_PER_RUN == 1 || n == writer.atomic + 1,
        "{n}: {writer:?}"
    );
    (writer.atomic, writer.atomic_counted) = (n, counted);
}

/// Ten runs on one file. The first two are killed while they create the file, or soon after.
fn kill_and_check(seed: u64) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut writers = vec![Writer::default(); WRITERS];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut answers = 0;
    for run in 0..10 {
        let early = run < 2;
        let after =
            Duration::from_micros(random.u64(if early { 0..15_000 } else { 1_000..60_000 }));
        answers += run_and_kill(&path, run, early, after, &mut writers);
        runtime.block_on(async {
            let file = Embedded::open(&path).await;
            let file = file.unwrap_or_else(|e| panic!("seed {seed}, run {run}: {e:?}"));
            let store = Store::new(file.clone());
            for (w, writer) in writers.iter_mut().enumerate() {
                check(&store, w, writer).await;
            }
            // The next run opens a file that was closed, like this one, or killed.
            file.close().await.unwrap();
        });
    }
    answers
}

/// Creates stores until it is killed.
#[tokio::test]
async fn as_a_child_it_makes_files_until_it_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    report(format_args!("\nopening 0 0"));
    for n in 0.. {
        let file = Embedded::open(Path::new(&directory).join(format!("store{n}"))).await.unwrap();
        report(format_args!("made 0 {n}"));
        Store::new(file).set("k", n).await.unwrap();
        report(format_args!("written 0 {n}"));
    }
}

/// The content of a file that a child has created, or was creating.
async fn made(directory: &Path, n: u64) -> Option<String> {
    let file = Embedded::open(directory.join(format!("store{n}"))).await;
    let store = Store::new(file.unwrap_or_else(|e| panic!("store{n}: {e:?}")));
    let value = store.get("k").await.unwrap();
    value.map(|v| String::from_utf8_lossy(v.as_ref()).into_owned())
}

#[tokio::test]
async fn a_process_killed_while_it_makes_a_file_leaves_a_whole_one_or_none() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let mut child = start(
            "as_a_child_it_makes_files_until_it_is_killed",
            &[(DIRECTORY, dir.path().into())],
        );
        let lines = reports(&mut child);
        assert_eq!(lines.recv().expect("the child starts").0, "opening");
        sleep(Duration::from_micros(random.u64(1_000..30_000)));
        drop(child);
        let (mut files, mut written) = (0, 0);
        for (kind, _, n) in lines {
            *(if kind == "made" { &mut files } else { &mut written }) = n + 1;
        }
        for n in 0..=files {
            let found = made(dir.path(), n).await;
            assert!(found.as_ref().is_none_or(|v| *v == n.to_string()), "{n}: {found:?}");
            assert!(found.is_some() || n >= written, "{n} was written");
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_was_answered_and_leaves_nothing_by_half() {
    let answers: usize = (0..5).map(kill_and_check).sum();
    println!("50 kills, {answers} answered writes");
    assert!(answers > 1_000, "only {answers} writes were answered before the kills");
}

/// Members of a large set: more than a `delete` deletes directly.
const LARGE: u64 = 2_500;

/// Creates a large set, deletes it, and does the same with a hash of the same members.
#[tokio::test]
async fn as_a_child_it_deletes_large_sets_until_it_is_killed() {
    let (Ok(path), Err(_)) = (std::env::var(FILE), std::env::var(RUN)) else { return };
    let store = Store::open(format!("file:{path}")).await.unwrap();
    report(format_args!("\nopened 0 0"));
    loop {
        store.sadd("large", 0..LARGE).await.unwrap();
        assert!(store.delete("large").await.unwrap());
        store.hset("large", (0..LARGE).map(|n| (n, n))).await.unwrap();
        store.set("large", "replaced").await.unwrap();
        assert!(store.delete("large").await.unwrap());
    }
}

/// The set or the hash is there as a whole or not at all, and they do not mix.
async fn check_large(store: &Store) {
    let set = store.smembers("large").await.map_or(0, |members| members.len());
    let hash = store.hgetall("large").await.map_or(0, |fields| fields.len());
    let string = store.get("large").await.is_ok_and(|value| value.is_some());
    let there = [set as u64, hash as u64, if string { LARGE } else { 0 }];
    assert!([0, LARGE].contains(&there.iter().sum()) && there.iter().all(|n| n % LARGE == 0));
    store.delete("large").await.unwrap();
    assert_eq!(store.smembers("large").await.unwrap().len(), 0);
    store.sadd("large", ["one"]).await.unwrap();
    assert_eq!(store.smembers("large").await.unwrap(), ["one"]);
    store.delete("large").await.unwrap();
}

#[test]
fn a_process_killed_while_it_deletes_leaves_a_large_set_whole_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut random = fastrand::Rng::with_seed(11);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut longest = 0;
    for _ in 0..15 {
        let child = "as_a_child_it_deletes_large_sets_until_it_is_killed";
        let mut child = start(child, &[(FILE, path.clone().into())]);
        let lines = reports(&mut child);
        assert_eq!(lines.recv().expect("the child opens the file").0, "opened");
        sleep(Duration::from_micros(random.u64(1_000..80_000)));
        drop(child);
        runtime.block_on(async {
            let file = Embedded::open(&path).await.unwrap();
            check_large(&Store::new(file.clone())).await;
            file.close().await.unwrap();
        });
        longest = longest.max(std::fs::metadata(&path).unwrap().len());
    }
    // The next run deletes what killed ones have left: a set takes less than 0.2 MB.
    assert!(longest < 20 << 20, "the file has grown to {longest} bytes");
}
