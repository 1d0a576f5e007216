//! The ordered layer over an engine with fault injection: concurrency, retries, leftover rows.

use super::Ordered;
use super::faulty_engine::{Faults, FaultyEngine};
use crate::backend::Context;
use crate::observe::Observer;
use crate::op::{Op, Read, Reply, Write};
use crate::{Backend, ErrorKind, Limits, Outcome, Result, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A backend that exposes its engine.
#[derive(Clone, Debug)]
struct Open(Arc<Ordered<FaultyEngine>>);

impl Backend for Open {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        self.0.read(cx, op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        self.0.write(cx, op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        self.0.batch(cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        self.0.transact(cx, writes).await
    }
}

fn store(faults: Faults) -> Store<Open> {
    Store::with_backend(Open(Arc::new(Ordered::new(FaultyEngine::new(faults)))))
}
fn engine(store: &Store<Open>) -> &FaultyEngine {
    store.backend().0.engine()
}

#[derive(Debug, Default)]
struct Retries(AtomicU64);

impl Observer for Retries {
    fn on_retry(&self, _: Option<&'static str>, because: ErrorKind) {
        assert_eq!(because, ErrorKind::Conflict);
        self.0.fetch_add(1, SeqCst);
    }
}

#[tokio::test]
async fn an_atomic_write_issues_its_reads_together() {
    let s = store(Faults::default());
    let mut tx = s.atomic_write();
    for i in 0..10 {
        tx.set_nx(format!("k{i}"), i);
    }
    assert!(tx.exec().await.unwrap().is_committed());
    assert_eq!(engine(&s).max_concurrent_reads(), 10);
}

#[tokio::test]
async fn a_batch_issues_reads_and_writes_of_different_keys_together() {
    let s = store(Faults::default());
    let mut batch = s.batch();
    for i in 0..20 {
        batch.zadd(format!("k{i}"), "m", 1.0);
    }
    batch.exec().await.unwrap();
    assert_eq!(engine(&s).max_concurrent_reads(), 20);

    let s = store(Faults::default());
    let mut batch = s.batch();
    for _ in 0..30 {
        batch.get("k");
    }
    batch.exec().await.unwrap();
    assert_eq!(engine(&s).max_concurrent_reads(), 30, "also of one key, if nothing is written");
}

#[tokio::test]
async fn long_values_of_a_range_are_fetched_together() {
    let s = store(Faults { value: 100, ..Faults::default() });
    for i in 0..12 {
        s.zhadd("k", i, vec![i; 500], 0.0).await.unwrap();
    }
    s.zhrange("k").await.unwrap();
    assert_eq!(engine(&s).max_concurrent_reads(), 60, "the five chunks of each, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_writers_on_one_counter_and_one_member_end_exact() {
    let s = store(Faults { conflict_every: 5, ..Faults::default() });
    let retries = Arc::new(Retries::default());
    let watched = s.with_observer(retries.clone());
    let writers: Vec<_> = (0..16)
        .map(|_| {
            let s = watched.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    s.incr_by("n", 1).await?;
                    s.zincr_by("z", "m", 1.0).await?;
                }
                Ok::<_, crate::Error>(())
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(s.get("n").await.unwrap().unwrap(), "400");
    assert_eq!(s.zscore("z", "m").await.unwrap(), Some(400.0));
    assert!(
        retries.0.load(SeqCst) >= 200,
        "a fifth of 800 commits and more conflict for no reason"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_different_members_do_not_conflict() {
    let s = store(Faults::default());
    let retries = Arc::new(Retries::default());
    let watched = s.with_observer(retries.clone());
    let writers: Vec<_> = (0..8)
        .map(|i| {
            let s = watched.clone();
            tokio::spawn(async move {
                for j in 0..25 {
                    let name = format!("{i}.{j}");
                    s.sadd("set", [&name]).await?;
                    s.hset("hash", [(&name, "v")]).await?;
                    s.zhadd("sorted", &name, "v", f64::from(j)).await?;
                }
                Ok::<_, crate::Error>(())
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(s.smembers("set").await.unwrap().len(), 200);
    assert_eq!(s.zrange("sorted").await.unwrap().len(), 200);
    assert_eq!(retries.0.load(SeqCst), 0);
}

#[tokio::test]
async fn a_lost_answer_is_told_and_not_sent_again() {
    let s = store(Faults { lose_every: 4, ..Faults::default() });
    let (mut answered, mut lost) = (0, 0);
    for _ in 0..40 {
        match s.incr_by("n", 1).await {
            Ok(n) => {
                answered += 1;
                assert_eq!(n, answered + lost);
            }
            Err(e) => {
                assert!(e.outcome_is_unknown() && e.is_retryable(), "{e:?}");
                lost += 1;
            }
        }
    }
    assert_eq!((answered, lost), (30, 10));
    assert_eq!(s.get("n").await.unwrap().unwrap(), "40", "each was applied once");
}

#[tokio::test]
async fn a_conflict_without_end_is_told() {
    let s = store(Faults { conflict_every: 1, ..Faults::default() });
    let error = s.set("k", "v").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_is_unknown()), (ErrorKind::Conflict, false));
    assert_eq!(s.get("k").await.unwrap(), None);
}

#[tokio::test]
async fn nothing_is_left_of_long_values_that_were_replaced_or_removed() {
    let s = store(Faults { value: 64, page: 2, ..Faults::default() });
    for len in [1_000, 5_000, 10, 3_000] {
        let value = vec![7; len];
        s.set("string", &value).await.unwrap();
        s.hset("hash", [("f", &value)]).await.unwrap();
        s.zhadd("sorted", "f", &value, 1.0).await.unwrap();
        s.zincr_by("sorted", "f", 1.0).await.unwrap();
        // An inline value has at most 48 of the 64 bytes. Chunks have all of them.
        let rows = if len < 48 { 1 } else { 1 + len.div_ceil(64) };
        assert_eq!(
            engine(&s).rows(),
            3 * rows + 2,
            "{len}: and the sorted field has two more rows"
        );
    }
    s.set("string", "short").await.unwrap();
    s.hdel("hash", ["f"]).await.unwrap();
    s.zadd("sorted", "f", 1.0).await.unwrap();
    assert_eq!(engine(&s).rows(), 3, "a member that is its own value has no third");
    s.zrem("sorted", "f").await.unwrap();
    s.delete("string").await.unwrap();
    assert_eq!(engine(&s).rows(), 0);
}

#[tokio::test]
async fn a_write_too_large_for_a_transaction_changes_nothing() {
    let s = store(Faults { transaction: 10_000, ..Faults::default() });
    s.sadd("set", ["before"]).await.unwrap();
    let many = (0..2_000).map(|i| format!("member {i}"));
    let error = s.sadd("set", many).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(s.smembers("set").await.unwrap(), ["before"]);
}

#[tokio::test]
async fn a_batch_is_cut_into_transactions_that_fit() {
    let s = store(Faults { transaction: 5_000, value: 64, ..Faults::default() });
    let mut batch = s.batch();
    for i in 0..300 {
        batch.set(format!("k{i}"), vec![b'x'; i % 200]);
        batch.zhadd("z", i, vec![b'y'; i % 200], 0.0);
        batch.hset("h", [(i, vec![b'y'; i % 200])]);
        batch.zincr_by("z", i / 2, 1.0);
        batch.delete(format!("k{}", i / 3));
    }
    let too_large = batch.set("large", vec![b'x'; 20_000]);
    let last = batch.incr_by("n", 1);
    let mut replies = batch.exec_each().await;
    assert_eq!(replies.take(too_large).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(replies.take(last).unwrap(), 1, "later operations are not affected");
    assert_eq!(s.get("large").await.unwrap(), None);
    assert_eq!(s.zcount("z", ..).await.unwrap(), 300);
    assert_eq!(s.hgetall("h").await.unwrap().len(), 300);
}

/// The whole batch used to be retried until no attempts were left, and failed as a whole.
#[tokio::test]
async fn a_batch_that_grows_too_old_is_halved_and_what_follows_it_too() {
    let s = store(Faults { lifetime: 100, ..Faults::default() });
    let retries = Arc::new(Retries::default());
    let watched = s.with_observer(retries.clone());
    let mut batch = watched.batch();
    let members: Vec<_> =
        (0..1_000).map(|i| batch.zhadd("z", i, format!("value {i}"), f64::from(i))).collect();
    let last = batch.incr_by("n", 1);
    let mut replies = batch.exec_each().await;
    for member in members {
        replies.take(member).unwrap();
    }
    assert_eq!(replies.take(last).unwrap(), 1);
    assert_eq!(s.zcount("z", ..).await.unwrap(), 1_000);
    assert_eq!(s.zhrange("z").rev().limit(1).await.unwrap(), ["value 999"]);
    // Each operation is a read and three rows, so 25 fit. The batch is halved down to a
    // sixty-fourth.
    let commits = engine(&s).commits();
    assert!((40..80).contains(&commits), "{commits}");
}

#[tokio::test]
async fn an_atomic_delete_sees_a_sorted_set_that_comes_at_the_same_time() {
    use futures_util::FutureExt;
    for typed in [false, true] {
        let s = store(Faults { typed, ..Faults::default() });
        let mut tx = s.atomic_write();
        tx.delete("k");
        tx.set("other", "v");
        let mut tx = Box::pin(tx.exec());
        assert!((&mut tx).now_or_never().is_none(), "it has read, and has not committed");
        s.zadd("k", "m", 1.0).await.unwrap();
        assert_eq!(tx.await.unwrap_err().kind(), ErrorKind::WrongType);
        assert_eq!(s.get("other").await.unwrap(), None);
        assert_eq!(s.zrange("k").await.unwrap(), ["m"]);
    }
}

/// A type check must conflict with a concurrent write that creates the key with another type.
#[tokio::test]
async fn of_two_who_make_a_key_of_two_types_at_once_one_is_refused() {
    use futures_util::FutureExt;
    let s = store(Faults { typed: true, ..Faults::default() });
    let mut sadd = Box::pin(s.sadd("k", ["m"]));
    assert!((&mut sadd).now_or_never().is_none(), "it has read, and has not committed");
    s.hset("k", [("f", "v")]).await.unwrap();
    assert_eq!(sadd.await.unwrap_err().kind(), ErrorKind::WrongType);
    assert_eq!(s.hgetall("k").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_name_that_no_row_can_have_is_refused() {
    let s = store(Faults::default()).with_limits(Limits::NONE);
    let long = vec![0; 6_000];
    for error in [
        s.set(&long[..], "v").await.unwrap_err(),
        s.get(&long[..]).await.unwrap_err(),
        s.sadd("k", [&b"fine"[..], &long]).await.unwrap_err(),
        s.zrange("k").by_lex(&long[..]..).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    }
    assert_eq!(engine(&s).rows(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_whose_view_moves_on_never_sees_half_of_a_value() {
    let s = store(Faults { value: 64, page: 2, age: 1, ..Faults::default() });
    let values = [vec![b'a'; 900], vec![b'b'; 900]];
    s.set("k", &values[0]).await.unwrap();
    s.zhadd("z", "f", &values[0], 0.0).await.unwrap();
    let writer = tokio::spawn({
        let (s, values) = (s.clone(), values.clone());
        async move {
            for i in 0..400 {
                s.set("k", &values[i % 2]).await?;
                s.zhadd("z", "f", &values[i % 2], 0.0).await?;
            }
            Ok::<_, crate::Error>(())
        }
    });
    while !writer.is_finished() {
        let value = s.get("k").await.unwrap().unwrap();
        assert!(values.iter().any(|v| value == v[..]), "{value:?}");
        let range = s.zhrange("z").await.unwrap();
        assert!(values.iter().any(|v| range == [&v[..]]), "{range:?}");
    }
    writer.await.unwrap().unwrap();
}

/// A large increment conflicts with a blind add. Otherwise the counter would overflow.
#[tokio::test]
async fn a_counter_does_not_overflow_between_two_who_add_at_once() {
    use futures_util::FutureExt;
    let s = store(Faults::default());
    s.set("n", "0").await.unwrap();
    let mut tx = s.atomic_write();
    tx.incr_by("n", 1);
    let mut tx = Box::pin(tx.exec());
    assert!((&mut tx).now_or_never().is_none(), "it has read the counter, and has not committed");
    assert_eq!(s.incr_by("n", i64::MAX).await.unwrap(), i64::MAX);
    assert_eq!(tx.await.unwrap_err().kind(), ErrorKind::Overflow);
    assert_eq!(s.get("n").await.unwrap().unwrap(), i64::MAX.to_string());
}

/// A deliberate collision: two values whose stamps are equal.
#[tokio::test]
async fn two_values_of_the_same_stamp_are_two_values() {
    let value = |end: u64| [&[b'x'; 1_016][..], &end.to_le_bytes()].concat();
    let (one, other) = (value(0x47f6_42ab_a49e_7ac6), value(0xf2e0_1eda_4d46_b93c));
    for (s, score) in [(store(Faults::default()), 1.0), (store(Faults::default()), 2.0)] {
        s.zhadd("k", "f", &one, 1.0).await.unwrap();
        s.zhadd("k", "f", &other, score).await.unwrap();
        assert!(s.zhget("k", "f").await.unwrap().unwrap() == other[..]);
    }
}

#[tokio::test]
async fn a_read_in_a_batch_whose_outcome_is_unknown_has_none() {
    let s = store(Faults { lose_every: 1, ..Faults::default() });
    let mut batch = s.batch();
    let (get, set, last) = (batch.get("a"), batch.set("b", "v"), batch.get("c"));
    let mut replies = batch.exec_each().await;
    assert!(replies.take(set).unwrap_err().outcome_is_unknown());
    for read in [get, last] {
        assert!(!replies.take(read).unwrap_err().outcome_is_unknown());
    }
}
