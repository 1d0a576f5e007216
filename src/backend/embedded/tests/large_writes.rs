//! Fairness: no writer waits for all of a batch, and a batch on its own pays little for that.
//!
//! A batch of 200,000 `zadd`, or the `delete` of such a set, used to block other writers for 3 to 4
//! s.

use super::faulty_disk::FaultyDisk;
use super::{Embedded, engine, open, pending};
use crate::{Batch, Store};
use futures_util::FutureExt;
use std::time::{Duration, Instant};

const MANY: u64 = 20_000;

fn fill<'s>(store: &'s Store<Embedded>, key: &str) -> Batch<'s, Embedded> {
    let mut batch = store.batch();
    for n in 0..MANY {
        // In random order.
        let member = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        batch.zadd(key, member, (n % 100) as f64);
    }
    batch
}

#[tokio::test]
async fn a_neighbour_is_answered_in_the_middle_of_a_batch() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    let held = disk.hold();
    let first = pending(store.set("first", "v"));
    held.wait();
    // Both wait for the same commit.
    let mut batch = pending(fill(&store, "z").exec());
    let neighbour = pending(store.set("neighbour", "v"));
    let before = disk.syncs();
    drop(held);
    first.await.unwrap();
    neighbour.await.unwrap();
    // A commit that extends the file syncs twice.
    assert!(disk.syncs() - before <= 4, "it waits for the commit under way, and for one more");
    assert!(batch.as_mut().now_or_never().is_none(), "the batch is still running");
    // Writers that come later are answered as well.
    let mut answered = 0;
    while batch.as_mut().now_or_never().is_none() {
        let start = Instant::now();
        store.set("neighbour", "w").await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        answered += 1;
    }
    assert!(answered >= 5, "only {answered} neighbours were answered");
    assert_eq!(store.zcount("z", ..).await.unwrap(), MANY);
}

#[tokio::test]
async fn a_batch_alone_is_committed_in_a_few_large_pieces() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    let before = disk.syncs();
    fill(&store, "z").exec().await.unwrap();
    let syncs = disk.syncs() - before;
    // Two rows each, 8,000 rows per commit; a commit that extends the file syncs twice.
    assert!((5..=12).contains(&syncs), "{syncs}");
}

#[tokio::test]
async fn big_batches_take_turns_and_each_operation_keeps_its_place() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    let held = disk.hold();
    let first = pending(store.set("first", "v"));
    held.wait();
    let mut large = pending(fill(&store, "z").exec());
    let mut small = store.batch();
    for n in 0..300 {
        small.incr_by("n", 1);
        small.zadd("y", n, 0.0);
    }
    let last = small.incr_by("n", 1);
    let wrong = small.sadd("y", ["m"]);
    let small = pending(small.exec_each().map(Ok));
    drop(held);
    first.await.unwrap();
    let mut replies = small.await.unwrap();
    assert!(large.as_mut().now_or_never().is_none(), "the smaller one is done first");
    assert_eq!(replies.take(last).unwrap(), 301);
    assert!(replies.take(wrong).is_err());
    large.await.unwrap();
    assert_eq!(store.zcount("z", ..).await.unwrap(), MANY);
}

#[tokio::test]
async fn closing_waits_for_a_batch_that_has_begun() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    let held = disk.hold();
    let first = pending(store.set("first", "v"));
    held.wait();
    let batch = pending(fill(&store, "z").exec());
    let close = pending(store.backend().close());
    while engine(&store).queued() < 2 {
        std::thread::yield_now();
    }
    drop(held);
    first.await.unwrap();
    close.await.unwrap();
    batch.now_or_never().expect("close waits for it").unwrap();
    let store = open(&disk).await.unwrap();
    assert_eq!(store.zcount("z", ..).await.unwrap(), MANY);
}

/// Parts that were committed have succeeded, the failed commit and all later parts have failed, and
/// nothing hangs.
#[tokio::test]
async fn a_batch_in_the_middle_of_which_the_disk_fails_tells_what_it_has_done() {
    use super::faulty_disk::{Call, Fault};
    let mut ever_in_doubt = false;
    for spared in 0..6 {
        let disk = FaultyDisk::default();
        let store = open(&disk).await.unwrap();
        disk.fail_once(spared, Call::Sync, Fault::Error(std::io::ErrorKind::Other));
        let mut batch = store.batch();
        let adds: Vec<_> = (0..MANY).map(|n| batch.sadd("set", [n])).collect();
        let mut replies = batch.exec_each().await;
        let results: Vec<_> = adds.into_iter().map(|add| replies.take(add)).collect();
        let done = results.iter().take_while(|result| result.is_ok()).count();
        assert!(results[done..].iter().all(Result::is_err), "nothing is done behind a failure");
        assert!(done < MANY as usize && (done > 0 || spared < 4), "{spared}: {done}");
        let unknown = |result: &crate::Result<()>| {
            result.as_ref().is_err_and(crate::Error::outcome_is_unknown)
        };
        let in_doubt = results[done..].iter().take_while(|result| unknown(result)).count();
        ever_in_doubt |= in_doubt > 0;
        assert!(
            !results[done + in_doubt..].iter().any(unknown),
            "a part that was not started has a known outcome"
        );
        let there = store.smembers("set").await.unwrap().len();
        assert!((done..=done + in_doubt).contains(&there), "{done} + {in_doubt}: {there}");
    }
    assert!(ever_in_doubt, "what a failed commit held may be there");
}
