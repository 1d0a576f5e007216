//! `Retry` and `Timeout`. The clock is tokio's paused one, which advances when all tasks wait.

use super::parking_backend::ParkingBackend;
use keyvaluestore::observe::Profiler;
use keyvaluestore::wrap::{Retry, RetryPolicy, Timeout};
use keyvaluestore::{Error, ErrorKind, Store};
use std::time::Duration;

fn store(policy: RetryPolicy) -> (ParkingBackend, Store) {
    let backend = ParkingBackend::default();
    (backend.clone(), Store::new(Retry::new(backend, policy)))
}

#[tokio::test(start_paused = true)]
async fn what_can_help_is_tried_again_as_often_as_the_policy_says() {
    let (backend, store) = store(RetryPolicy::new().max_attempts(3));
    for kind in [ErrorKind::Throttled, ErrorKind::Unavailable] {
        backend.fail(kind);
    }
    assert_eq!(store.get("k").await.unwrap(), None);
    assert_eq!(backend.calls().len(), 3);
    for _ in 0..3 {
        backend.fail(ErrorKind::Conflict);
    }
    assert_eq!(store.set("k", 1).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(backend.calls().len(), 3);
    for _ in 0..2 {
        backend.fail(ErrorKind::Conflict);
    }
    let mut tx = store.atomic_write();
    tx.set("k", 1);
    assert!(tx.exec().await.unwrap().is_committed());
    assert_eq!(backend.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_help_is_not_tried_again() {
    let (backend, store) = store(RetryPolicy::new());
    for kind in [ErrorKind::AccessDenied, ErrorKind::Corrupt, ErrorKind::Other] {
        backend.fail(kind);
        assert_eq!(store.get("k").await.unwrap_err().kind(), kind);
        assert_eq!(backend.calls().len(), 1);
    }
}

/// No write is applied twice.
#[tokio::test(start_paused = true)]
async fn a_write_that_may_have_been_applied_is_not_sent_again() {
    let (backend, store) = store(RetryPolicy::new());
    backend.lose(ErrorKind::Timeout);
    assert!(store.incr_by("n", 1).await.unwrap_err().outcome_is_unknown());
    backend.lose(ErrorKind::Timeout);
    assert!(store.set("k", 1).await.unwrap_err().outcome_is_unknown());
    backend.lose(ErrorKind::Timeout);
    let mut tx = store.atomic_write();
    tx.incr_by("n", 1);
    assert!(tx.exec().await.unwrap_err().outcome_is_unknown());
    backend.lose(ErrorKind::Timeout);
    let mut batch = store.batch();
    batch.incr_by("n", 1);
    assert!(batch.exec().await.unwrap_err().outcome_is_unknown());
    assert_eq!(backend.calls().len(), 4);
    assert_eq!(store.get("n").await.unwrap().unwrap(), "3");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_mind_is_sent_again_if_asked_for_and_no_other() {
    let (backend, store) = store(RetryPolicy::new().retry_unknown_outcome(true));
    backend.lose(ErrorKind::Timeout);
    store.set("k", 1).await.unwrap();
    backend.lose(ErrorKind::Timeout);
    store.zadd("z", "m", 1.0).await.unwrap();
    backend.calls();
    for refused in [
        Box::pin(async { store.set_nx("k", 1).await.map(drop) })
            as std::pin::Pin<Box<dyn Future<Output = Result<(), Error>>>>,
        Box::pin(async { store.incr_by("n", 1).await.map(drop) }),
        Box::pin(async { store.delete("k").await.map(drop) }),
        Box::pin(async { store.hset_nx("h", "f", 1).await.map(drop) }),
        Box::pin(async { store.zadd_nx("z", "m", 1.0).await.map(drop) }),
        Box::pin(async { store.zincr_by("z", "m", 1.0).await.map(drop) }),
    ] {
        backend.lose(ErrorKind::Timeout);
        assert!(refused.await.unwrap_err().outcome_is_unknown());
        assert_eq!(backend.calls().len(), 1);
    }
}

/// Without a budget, 100 callers of 4 attempts each would send 400 requests during an outage.
#[tokio::test(start_paused = true)]
async fn an_outage_is_not_multiplied() {
    let (backend, store) = store(RetryPolicy::new().budget(10).max_attempts(4));
    for _ in 0..1_000 {
        backend.fail(ErrorKind::Unavailable);
    }
    for _ in 0..100 {
        store.get("k").await.unwrap_err();
    }
    assert_eq!(backend.calls().len(), 110);
}

#[tokio::test(start_paused = true)]
async fn successes_fill_the_budget_again() {
    let (backend, store) = store(RetryPolicy::new().budget(1).budget_refill(0.5));
    backend.fail(ErrorKind::Unavailable);
    store.get("k").await.unwrap(); // withdraws one retry, and deposits a half
    backend.fail(ErrorKind::Unavailable);
    store.get("k").await.unwrap_err();
    store.get("k").await.unwrap();
    backend.fail(ErrorKind::Unavailable);
    store.get("k").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_other_try_is_begun_when_the_time_is_over() {
    let (backend, store) = store(
        RetryPolicy::new()
            .max_attempts(u32::MAX)
            .budget(u32::MAX)
            .max_elapsed(Duration::from_secs(5))
            .initial_backoff(Duration::from_millis(200))
            .max_backoff(Duration::from_millis(200)),
    );
    for _ in 0..10_000 {
        backend.fail(ErrorKind::Unavailable);
    }
    let start = tokio::time::Instant::now();
    store.get("k").await.unwrap_err();
    assert!(start.elapsed() <= Duration::from_secs(5));
    assert!((25..500).contains(&backend.calls().len()));
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_what_failed_is_tried_again_as_one_batch() {
    let (backend, store) = store(RetryPolicy::new());
    backend.fail(ErrorKind::Throttled);
    let mut batch = store.batch();
    let set = batch.set("k", 1);
    let get = batch.get("k");
    let mut replies = batch.exec().await.unwrap();
    replies.take(set).unwrap();
    assert_eq!(replies.take(get).unwrap().unwrap(), "1");
    assert_eq!(backend.calls(), ["batch set get", "batch set get"]);
}

/// Operations on one key take effect in their order. If an operation after the failed one was
/// carried out, a retry would change the order.
#[tokio::test(start_paused = true)]
async fn what_failed_is_not_sent_again_behind_what_came_after_it() {
    use keyvaluestore::backend::Context;
    use keyvaluestore::op::{Op, Read, Reply, Write};
    use keyvaluestore::{Backend, Memory, Outcome, Result};
    use std::sync::Mutex;

    /// Fails the first operation of each batch of more than one.
    #[derive(Debug, Default)]
    struct First(Memory, Mutex<Vec<usize>>);
    impl Backend for First {
        async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
            self.0.read(cx, op).await
        }
        async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
            self.0.write(cx, op).await
        }
        async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
            self.1.lock().unwrap().push(ops.len());
            if ops.len() == 1 {
                return self.0.batch(cx, ops).await;
            }
            let mut all = vec![Err(Error::new(ErrorKind::Throttled, "as planned"))];
            all.extend(self.0.batch(cx, &ops[1..]).await);
            all
        }
        async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
            self.0.transact(cx, writes).await
        }
    }
    let store = Store::with_backend(Retry::new(First::default(), RetryPolicy::default()));
    for (first, second, again) in
        [("set", "get", false), ("set", "set", false), ("get", "set", false), ("get", "get", true)]
    {
        let mut batch = store.batch();
        let add = |batch: &mut keyvaluestore::Batch<'_, _>, what| match what {
            "set" => drop(batch.set("k", 1)),
            _ => drop(batch.get("k")),
        };
        add(&mut batch, first);
        add(&mut batch, second);
        assert_eq!(batch.exec().await.is_ok(), again, "{first} {second}");
    }
    let mut batch = store.batch();
    batch.set("k", 1);
    batch.set("other", 1);
    assert!(batch.exec().await.is_ok(), "another key does not matter");
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_given_up_and_of_a_write_the_outcome_is_unknown() {
    let backend = ParkingBackend::default();
    let store = Store::new(Timeout::new(backend.clone(), Duration::from_secs(2)));
    store.set("k", 1).await.unwrap();
    let mut parked = Vec::new();
    let mut park = || parked.push(backend.park_before());
    park();
    let error = store.get("k").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_is_unknown()), (ErrorKind::Timeout, false));
    park();
    assert!(store.set("k", 2).await.unwrap_err().outcome_is_unknown());
    park();
    let mut tx = store.atomic_write();
    tx.set("k", 2);
    assert!(tx.exec().await.unwrap_err().outcome_is_unknown());
    park();
    let mut batch = store.batch();
    let (get, set) = (batch.get("k"), batch.set("k", 2));
    let mut replies = batch.exec_each().await;
    assert!(!replies.take(get).unwrap_err().outcome_is_unknown());
    assert!(replies.take(set).unwrap_err().outcome_is_unknown());
    // Without a timeout.
    let parked = backend.park_before();
    let (answer, ()) = tokio::join!(store.get("k"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        parked.send(()).unwrap();
    });
    assert_eq!(answer.unwrap().unwrap(), "1");
}

/// A timeout below `Retry` is a failed attempt. A read is retried, a write is not.
#[tokio::test(start_paused = true)]
async fn a_read_that_was_given_up_is_tried_again() {
    let backend = ParkingBackend::default();
    let timed = Timeout::new(backend.clone(), Duration::from_secs(2));
    let store = Store::new(Retry::new(timed, RetryPolicy::default()));
    let _parked = backend.park_before();
    backend.pass();
    assert_eq!(store.get("k").await.unwrap(), None);
    assert_eq!(backend.calls().len(), 2);
}

/// A cache above relies on that: otherwise it could cache the value from before the write.
#[tokio::test(start_paused = true)]
async fn what_an_earlier_try_may_have_done_is_told_when_a_later_one_fails() {
    let (backend, store) = store(RetryPolicy::new().retry_unknown_outcome(true).max_attempts(2));
    backend.lose(ErrorKind::Timeout);
    backend.fail(ErrorKind::Throttled);
    let error = store.set("k", 1).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Throttled && error.outcome_is_unknown());
    backend.lose(ErrorKind::Timeout);
    backend.fail(ErrorKind::Throttled);
    let mut batch = store.batch();
    batch.set("k", 2);
    assert!(batch.exec().await.unwrap_err().outcome_is_unknown());
    // Without an in-doubt attempt the outcome is known.
    (0..2).for_each(|_| backend.fail(ErrorKind::Throttled));
    assert!(!store.set("k", 3).await.unwrap_err().outcome_is_unknown());
    assert_eq!(store.get("k").await.unwrap().unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_success_may_fill_the_whole_budget() {
    let (backend, store) = store(RetryPolicy::new().budget(2).budget_refill(f64::INFINITY));
    for _ in 0..10 {
        (0..2).for_each(|_| backend.fail(ErrorKind::Unavailable));
        store.get("k").await.unwrap();
    }
}

/// A retried call is one call. Its backend is the one that sent a request, if any did.
#[tokio::test(start_paused = true)]
async fn retries_are_told_and_are_no_backend() {
    let (backend, store) = store(RetryPolicy::new());
    let profiler = Profiler::new();
    let store = store.with_profiler(&profiler);
    backend.fail(ErrorKind::Unavailable);
    store.get("k").await.unwrap();
    store.get("k").await.unwrap();
    let calls = profiler.calls();
    let seen: Vec<_> = calls.iter().map(|c| (c.backend, c.name, c.calls, c.retries)).collect();
    assert_eq!(seen, [(None, "get", 2, 1)]);
}
