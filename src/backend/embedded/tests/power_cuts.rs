//! Power cuts at any change or sync, also during recovery: no write that returned is lost, and none
//! is applied in part.

use super::faulty_disk::FaultyDisk;
use super::{filler, open};
use crate::backend::Embedded;
use crate::{Result, Store, Value};
use futures_util::future::join_all;
use std::sync::Mutex;

const WRITERS: usize = 4;

/// The progress of a writer with one kind of write. Each write waits for the reply to the last one.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    answered: u64,
    started: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Writer {
    atomic: Progress,
    plain: Progress,
}

fn long(w: usize, n: u64) -> Vec<u8> {
    let seed = n * WRITERS as u64 + w as u64;
    filler(seed, fastrand::Rng::with_seed(seed).usize(..12_000))
}

async fn write_together(store: &Store<Embedded>, w: usize, n: u64) -> Result<()> {
    let mut tx = store.atomic_write();
    tx.set(format!("s{w}"), n);
    tx.zhadd("h", format!("f{w}"), n, n as f64);
    tx.incr_by(format!("c{w}"), 1);
    assert!(tx.exec().await?.is_committed());
    Ok(())
}

/// Writes until the power cut.
async fn write(store: &Store<Embedded>, w: usize, writer: &Mutex<[Writer; WRITERS]>) -> Result<()> {
    let edit = |f: &dyn Fn(&mut Writer)| f(&mut writer.lock().unwrap()[w]);
    loop {
        edit(&|w| w.atomic.started += 1);
        let n = writer.lock().unwrap()[w].atomic.started;
        write_together(store, w, n).await?;
        edit(&|w| w.atomic.answered = n);
        edit(&|w| w.plain.started += 1);
        let n = writer.lock().unwrap()[w].plain.started;
        store.set(format!("p{w}:{n}"), long(w, n)).await?;
        edit(&|w| w.plain.answered = n);
    }
}

async fn number(store: &Store<Embedded>, key: String) -> u64 {
    let value = store.get(key).await.unwrap();
    value.map_or(0, |v| String::from_utf8_lossy(v.as_ref()).parse().unwrap())
}

/// Compares the data with the writes that returned, and continues from there.
async fn check(store: &Store<Embedded>, w: usize, writer: &mut Writer) {
    let n = number(store, format!("s{w}")).await;
    let field = store.zhget("h", format!("f{w}")).await.unwrap();
    assert_eq!(field, (n > 0).then(|| Value::from(n.to_string())), "{w} is torn");
    assert_eq!(store.zscore("h", format!("f{w}")).await.unwrap().unwrap_or(0.0), n as f64);
    assert_eq!(number(store, format!("c{w}")).await, n, "{w} is torn");
    assert!((writer.atomic.answered..=writer.atomic.started).contains(&n), "{n}: {writer:?}");
    let mut there = writer.plain.answered;
    for n in 1..=writer.plain.started {
        match store.get(format!("p{w}:{n}")).await.unwrap() {
            Some(value) if value == long(w, n) => there = there.max(n),
            other => assert!(other.is_none() && n > writer.plain.answered, "{w}:{n}: {writer:?}"),
        }
    }
    writer.atomic = Progress { answered: n, started: n };
    writer.plain = Progress { answered: there, started: there };
}

/// Opens the disk, writes until the power cut, and returns the content that is left.
async fn live(image: Vec<u8>, seed: u64, writers: &mut [Writer; WRITERS]) -> Vec<u8> {
    let disk = FaultyDisk::holding(image);
    // One in four is cut during recovery.
    let most = if seed.is_multiple_of(4) { 20 } else { 400 };
    disk.cut_power_at(fastrand::Rng::with_seed(seed).u64(1..most), seed);
    let progress = Mutex::new(*writers);
    if let Ok(store) = open(&disk).await {
        join_all((0..WRITERS).map(|w| write(&store, w, &progress))).await;
    }
    *writers = progress.into_inner().unwrap();
    disk.after_the_cut().expect("it wrote until the power was cut")
}

async fn survive(lives: impl Iterator<Item = u64>) {
    let disk = FaultyDisk::default();
    open(&disk).await.unwrap().backend().close().await.unwrap();
    let mut image = disk.image();
    let mut writers = [Writer::default(); WRITERS];
    for seed in lives {
        image = live(image, seed, &mut writers).await;
        // On a copy: the next round starts from the content after the cut.
        let store = open(&FaultyDisk::holding(image.clone())).await;
        let store = store.unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
        for (w, writer) in writers.iter_mut().enumerate() {
            check(&store, w, writer).await;
        }
    }
    assert!(writers.iter().all(|w| w.plain.answered > 0), "little was written: {writers:?}");
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_was_answered_and_leaves_nothing_by_half() {
    for file in 0..20 {
        survive((1..=6).map(|life| file * 100 + life)).await;
    }
}

#[tokio::test]
async fn an_answer_comes_after_the_sync_of_what_it_answers() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    for n in 0..200u64 {
        let before = disk.syncs();
        store.set(format!("k{}", n % 50), filler(n, (n * 61) as usize)).await.unwrap();
        assert!(disk.syncs() > before, "write {n} is not synced");
        assert_eq!(disk.unsynced(), 0, "write {n} is synced in part");
    }
}
