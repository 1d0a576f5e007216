//! Profilers, and observers at each layer of a stack.

use super::parking_backend::ParkingBackend;
use super::{now, waits};
use keyvaluestore::backend::Context;
use keyvaluestore::observe::Profiler;
use keyvaluestore::observe::{CallSummary, Observer};
use keyvaluestore::op::{Op, Read, Reply, Write};
use keyvaluestore::wrap::Observed;
use keyvaluestore::{Backend, ErrorKind, Memory, Outcome, Result, Store};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Emits the events of a remote store.
#[derive(Clone, Debug, Default)]
struct Remote(Memory);

impl Remote {
    fn emit(cx: &Context) {
        if let Some(observer) = &cx.observer {
            observer.on_round_trip("remote", "Request", Duration::from_millis(2));
            observer.on_retry(Some("remote"), ErrorKind::Throttled);
            observer.on_retry(Some("remote"), ErrorKind::Conflict);
            observer.on_round_trip("remote", "Request", Duration::from_millis(3));
        }
    }
}

impl Backend for Remote {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        Remote::emit(cx);
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

#[test]
fn a_profiler_tells_by_backend_and_call_what_was_done_inside() {
    let profiler = Profiler::new();
    let store = Store::new(Remote::default()).with_profiler(&profiler);
    now(store.get("k")).unwrap();
    now(store.get("k")).unwrap();
    now(store.set("k", "text")).unwrap();
    now(store.incr_by("k", 1)).unwrap_err();
    let mut batch = store.batch();
    batch.get("k");
    batch.incr_by("k", 1);
    drop(now(batch.exec_each()));
    let mut tx = store.atomic_write();
    tx.set("a", 1);
    tx.set("b", 1);
    assert!(now(tx.exec()).unwrap().is_committed());
    let calls = profiler.take();
    let seen: Vec<_> = calls
        .iter()
        .map(|c| (c.backend, c.name, c.calls, c.operations, c.errors, c.round_trips))
        .collect();
    assert_eq!(
        seen,
        [
            (None, "atomic_write", 1, 2, 0, 0),
            (None, "batch", 1, 2, 1, 0),
            (None, "incr_by", 1, 1, 1, 0),
            (None, "set", 1, 1, 0, 0),
            (Some("remote"), "get", 2, 2, 0, 4),
        ]
    );
    let get = &calls[4];
    assert_eq!((get.retries, get.throttles, get.conflicts), (4, 2, 2));
    assert_eq!(get.round_trip_time, Duration::from_millis(10));
    assert_eq!(get.latency.count(), 2);
    assert!(profiler.calls().is_empty(), "`take` resets it");
}

#[test]
fn the_outer_and_the_inner_profiler_both_count() {
    let [outer, inner, below] = [(); 3].map(|()| Profiler::new());
    let backend = Observed::new(Remote::default(), below.clone());
    let store = Store::with_backend(backend).with_profiler(&outer);
    now(store.get("k")).unwrap();
    now(store.with_profiler(&inner).get("k")).unwrap();
    now(store.get("k")).unwrap();
    let seen = |profiler: &Profiler| (profiler.total().calls, profiler.total().round_trips);
    assert_eq!([&outer, &inner, &below].map(seen), [(3, 6), (1, 2), (3, 6)]);
}

#[test]
fn an_eventual_view_is_profiled_and_reaches_the_bottom() {
    #[derive(Clone, Debug, Default)]
    struct Freshness(Arc<Mutex<Vec<bool>>>, Memory);
    impl Backend for Freshness {
        async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
            let eventual = cx.consistency == keyvaluestore::backend::Consistency::Eventual;
            self.0.lock().unwrap().push(eventual);
            self.1.read(cx, op).await
        }
        async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
            self.1.write(cx, op).await
        }
        async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
            self.1.batch(cx, ops).await
        }
        async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
            self.1.transact(cx, writes).await
        }
    }
    let (seen, profiler) = (Freshness::default(), Profiler::new());
    let stack = Observed::new(keyvaluestore::wrap::Prefix::new(seen.clone(), "p"), Profiler::new());
    let stack = keyvaluestore::wrap::OnWrite::new(stack, |_: &_| {});
    #[cfg(feature = "timeout")]
    let stack = keyvaluestore::wrap::Timeout::new(stack, Duration::from_secs(9));
    #[cfg(feature = "retry")]
    let stack = keyvaluestore::wrap::Retry::new(stack, Default::default());
    #[cfg(feature = "tracing")]
    let stack = keyvaluestore::wrap::Trace::new(stack, "test");
    #[cfg(feature = "metrics")]
    let stack = keyvaluestore::wrap::Metrics::new(stack, "test");
    #[cfg(feature = "cache")]
    let stack = keyvaluestore::wrap::Cache::request(stack);
    let store = Store::with_backend(stack).with_profiler(&profiler);
    now(store.eventually_consistent().get("k")).unwrap();
    now(store.get("k")).unwrap();
    assert_eq!(*seen.0.lock().unwrap(), [true, false]);
    assert_eq!(profiler.total().calls, 2);
    #[cfg(feature = "cache")]
    {
        now(store.inner().eventually_consistent().get("k")).unwrap();
        assert_eq!(profiler.total().calls, 3, "the wrapped backend is profiled, too");
    }
}

#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Vec<CallSummary>>>);
impl Observer for Notes {
    fn on_call_end(&self, call: &CallSummary) {
        self.0.lock().unwrap().push(call.clone());
    }
}

#[test]
fn a_call_that_is_given_up_is_told_as_such() {
    let (backend, notes, profiler) = (ParkingBackend::default(), Notes::default(), Profiler::new());
    let store = Store::new(backend.clone()).with_observer(Arc::new(notes.clone()));
    let store = store.with_profiler(&profiler);
    let _parked = backend.park_before();
    let mut read = Box::pin(store.get("k"));
    waits(&mut read);
    assert!(notes.0.lock().unwrap().is_empty());
    drop(read);
    let call = notes.0.lock().unwrap().pop().unwrap();
    assert!(call.cancelled && call.name == "get" && call.error.is_none());
    assert_eq!((profiler.total().cancelled, profiler.total().errors), (1, 0));
}
