//! The handle: what it passes on to its backend, and what its wrapped and closed forms keep.

use super::*;
use crate::ErrorKind;
use crate::Outcome;
use crate::backend::Consistency::{self, Eventual, Strong};
use crate::op::{Read, Reply, Write};
use futures_util::FutureExt;
use std::sync::Mutex;

/// Notes how fresh each call wants to be.
#[derive(Clone, Debug, Default)]
struct Notes(Memory, Arc<Mutex<Vec<Consistency>>>);

impl Notes {
    fn note(&self, cx: &Context) {
        self.1.lock().unwrap().push(cx.consistency);
    }
}

impl Backend for Notes {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        self.note(cx);
        self.0.read(cx, op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        self.note(cx);
        self.0.write(cx, op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        self.note(cx);
        self.0.batch(cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        self.note(cx);
        self.0.transact(cx, writes).await
    }
}

#[test]
fn a_backend_is_told_how_fresh_a_read_has_to_be() {
    let store = Store::with_backend(Notes::default());
    let eventual = store.eventually_consistent();
    let read = |store: &Store<Notes>| {
        store.get("k").now_or_never().unwrap().unwrap();
        store.zrange("k").into_future().now_or_never().unwrap().unwrap();
        let mut batch = store.batch();
        batch.get("k");
        drop(batch.exec().now_or_never().unwrap().unwrap());
    };
    read(&store);
    read(&eventual);
    read(&eventual.with_limits(Limits::NONE));
    read(&store);
    let told = std::mem::take(&mut *store.backend().1.lock().unwrap());
    let expected = [[Strong; 3], [Eventual; 3], [Eventual; 3], [Strong; 3]];
    assert_eq!(told, expected.concat());
}

#[test]
fn lifted_limits_are_lifted() {
    let store = Store::memory();
    let free = store.with_limits(Limits::NONE);
    let long = vec![b'x'; 400 * 1_024];
    free.set(&long[..], &long).now_or_never().unwrap().unwrap();
    free.sadd("", [&long]).now_or_never().unwrap().unwrap();
    for member in [&b""[..], &long] {
        free.zhadd("z", member, &long, 0.0).now_or_never().unwrap().unwrap();
    }
    let all = free.zrange("z").by_score(0.0..=0.0).into_future();
    assert_eq!(all.now_or_never().unwrap().unwrap(), [&b""[..], &long]);
    let below = free.zcount("z", ..0.0).now_or_never().unwrap().unwrap();
    assert_eq!(below, 0);
    let refused = store.get(&long[..]).now_or_never().unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
}
#[test]
fn what_is_wrapped_keeps_limits_consistency_and_profilers() {
    use crate::wrap::Prefix;
    let profiler = Profiler::new();
    let opened = Store::with_backend(Notes::default()).eventually_consistent();
    let opened = opened.with_limits(Limits::NONE).with_profiler(&profiler);
    let wrapped = opened.wrap(|backend| Prefix::new(backend, "app"));
    let long = "x".repeat(3_000);
    wrapped.get(&long).now_or_never().unwrap().unwrap();
    wrapped.erased().get(&long).now_or_never().unwrap().unwrap();
    wrapped.erased().erased().get(&long).now_or_never().unwrap().unwrap();
    assert_eq!(*opened.backend().1.lock().unwrap(), [Eventual; 3]);
    assert_eq!(profiler.total().calls, 3);
    assert_eq!(wrapped.inner().limits(), &Limits::NONE);
}
#[cfg(feature = "embedded")]
#[tokio::test]
async fn a_file_is_closed_through_any_clone_and_below_what_wraps_it() {
    use crate::wrap::Prefix;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file:{}", dir.path().join("a b.kvs").display()).replace(' ', "%20");
    let closers: [fn(&Store) -> Store; 4] = [
        Store::clone,
        |store| store.eventually_consistent().with_limits(Limits::NONE),
        |store| store.wrap(|b| Prefix::new(Prefix::new(b, "a"), "b")).erased(),
        |store| store.wrap(|b| Prefix::new(b, "a")).wrap(|b| Prefix::new(b, "b")).erased(),
    ];
    for closer in closers {
        let store = Store::open(&url).await.unwrap();
        store.set("k", "v").await.unwrap();
        closer(&store).close().await.unwrap();
        let error = store.get("k").await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, false));
        store.close().await.unwrap(); // closed already
    }
    assert_eq!(Store::open(&url).await.unwrap().get("k").await.unwrap().unwrap(), "v");
    Store::memory().close().await.unwrap();
}
#[test]
fn a_profiler_names_the_backend_that_answers_in_the_process() {
    let profiler = Profiler::new();
    let store = Store::memory().with_profiler(&profiler);
    store.set("k", 1).now_or_never().unwrap().unwrap();
    store.wrap(|b| crate::wrap::Prefix::new(b, "a")).get("k").now_or_never().unwrap().unwrap();
    assert!(profiler.calls().iter().all(|call| call.backend == Some("memory")));
}
/// It cannot be taken back, and is not to be done again.
#[test]
fn a_write_that_answers_something_else_than_was_asked_for_has_been_applied() {
    let store = Store::memory();
    let wrong = store.run::<u64>(crate::op::IncrBy::new("n", 1)).now_or_never().unwrap();
    assert!(wrong.unwrap_err().outcome_is_unknown());
    let wrong = store.run::<u64>(crate::op::Get::new("n")).now_or_never().unwrap();
    assert!(!wrong.unwrap_err().outcome_is_unknown());
    assert_eq!(store.get("n").now_or_never().unwrap().unwrap().unwrap(), "1");
}
