//! [`Metrics`]: emits metrics through the facade `metrics`, with the names of OpenTelemetry's
//! semantic conventions for databases.
//!
//! [`Metrics`] lists them. The cardinality of the labels is bounded: names of operations, requests,
//! error kinds, tables and indexes. Labels never contain keys or values.

use super::{Observed, Wrapper};
use crate::backend::Context;
use crate::observe::{CallSummary, ConsumedCapacity, Observer};
use crate::op::{NAMES, index_of_name, position};
use crate::op::{Op, Read, Reply, Write};
use crate::{Backend, ErrorKind, Outcome, Result};
use metrics::{Histogram, Unit, counter, describe_counter, describe_histogram, histogram};
use quanta::Clock;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The index of the most frequent operation, which is not looked up for each call.
const GET: usize = position("get");

/// The observer that emits the metrics of [`Metrics`]. By itself it is for
/// [`Store::with_observer`](crate::Store::with_observer).
#[derive(Debug)]
pub struct MetricsObserver {
    system: &'static str,
    clock: Clock,
    /// By [`index_of_name`]. Each is created once, because that is a lookup by labels.
    durations: [OnceLock<Histogram>; NAMES.len()],
}

/// The `error.type` of a call whose future was dropped.
const CANCELLED: &str = "cancelled";

const DURATION: &str = "db.client.operation.duration";
const ROUND_TRIP: &str = "keyvaluestore.round_trip.duration";
const RETRIES: &str = "keyvaluestore.retries";
const CAPACITY: &str = "keyvaluestore.consumed_capacity";

impl MetricsObserver {
    /// Emits with `system` as the `db.system.name` of calls: `redis`, `aws.dynamodb`.
    pub fn new(system: &'static str) -> Self {
        describe_histogram!(DURATION, Unit::Seconds, "Duration of calls to the store.");
        describe_histogram!(
            ROUND_TRIP,
            Unit::Seconds,
            "Duration of requests to the storage system."
        );
        describe_counter!(RETRIES, Unit::Count, "Requests that were retried.");
        describe_histogram!(CAPACITY, Unit::Count, "Capacity units that a request consumed.");
        let clock = Clock::new();
        MetricsObserver { system, clock, durations: [const { OnceLock::new() }; NAMES.len()] }
    }
    #[cold]
    fn failed(&self, name: &'static str, error: &'static str, took: Duration) {
        histogram!(
            DURATION,
            "db.system.name" => self.system,
            "db.operation.name" => name,
            "error.type" => error
        )
        .record(took);
    }
    #[inline]
    fn done(&self, name: &'static str, took: Duration) {
        match index_of_name(name) {
            Some(at) => self.durations[at].get_or_init(|| self.duration(name)).record(took),
            None => self.duration(name).record(took),
        }
    }
    fn duration(&self, name: &'static str) -> Histogram {
        histogram!(DURATION, "db.system.name" => self.system, "db.operation.name" => name)
    }
}

/// OpenTelemetry's name of the system behind a backend.
fn system_of(backend: &'static str) -> &'static str {
    match backend {
        "dynamodb" => "aws.dynamodb",
        other => other,
    }
}

impl Observer for MetricsObserver {
    fn on_round_trip(&self, backend: &'static str, request: &'static str, took: Duration) {
        let system = system_of(backend);
        histogram!(ROUND_TRIP, "db.system.name" => system, "request" => request).record(took);
    }
    fn on_retry(&self, backend: Option<&'static str>, because: ErrorKind) {
        let system = backend.map_or(self.system, system_of);
        let because = because.as_str();
        counter!(RETRIES, "db.system.name" => system, "error.type" => because).increment(1);
    }
    fn on_capacity(&self, backend: &'static str, used: &ConsumedCapacity<'_>) {
        for (direction, units) in [("read", used.read), ("write", used.write)] {
            if units > 0.0 {
                histogram!(
                    CAPACITY,
                    "db.system.name" => system_of(backend),
                    "db.collection.name" => used.table.to_owned(),
                    "index" => used.index.unwrap_or_default().to_owned(),
                    "direction" => direction
                )
                .record(units);
            }
        }
    }
    fn on_call_end(&self, call: &CallSummary) {
        match call.error {
            Some(kind) => self.failed(call.name, kind.as_str(), call.took),
            None if call.cancelled => self.failed(call.name, CANCELLED, call.took),
            None => self.done(call.name, call.took),
        }
    }
}

/// A call in flight. If it is dropped without [`end`](Self::end), the call was cancelled.
struct Timing<'m, N: Fn() -> &'static str> {
    observer: &'m MetricsObserver,
    name: N,
    start: u64,
}

impl<'m, N: Fn() -> &'static str> Timing<'m, N> {
    #[inline]
    fn start(observer: &'m MetricsObserver, name: N) -> Self {
        Timing { observer, name, start: observer.clock.raw() }
    }
    #[inline]
    fn nanos(&self) -> u64 {
        let clock = &self.observer.clock;
        clock.delta_as_nanos(self.start, clock.raw())
    }
    /// `index` is that of the name, if it is known without a lookup.
    #[inline]
    fn end(self, index: Option<usize>, reply: &Result<Reply>) {
        let nanos = self.nanos();
        match (reply, index.and_then(|at| self.observer.durations[at].get())) {
            (Ok(_), Some(histogram)) => histogram.record(nanos as f64 * 1e-9),
            (Ok(_), None) => self.observer.done((self.name)(), Duration::from_nanos(nanos)),
            (Err(e), _) => self.failed(e.kind().as_str(), nanos),
        }
        std::mem::forget(self);
    }
    #[cold]
    fn failed(&self, error: &'static str, nanos: u64) {
        self.observer.failed((self.name)(), error, Duration::from_nanos(nanos));
    }
}

impl<N: Fn() -> &'static str> Drop for Timing<'_, N> {
    fn drop(&mut self) {
        self.failed(CANCELLED, self.nanos());
    }
}

/// Emits metrics of each call and of its round trips, retries and consumed capacity, through the
/// facade [`metrics`].
///
/// Install the recorder, such as an exporter for Prometheus, before you call [`Metrics::new`],
/// which describes the metrics to the recorder. The example `metrics` shows it. No label contains a
/// key or a value.
///
/// | metric | kind | labels |
/// |---|---|---|
/// | `db.client.operation.duration` | histogram, seconds | `db.system.name`, `db.operation.name`, of failed ones `error.type` |
/// | `keyvaluestore.round_trip.duration` | histogram, seconds | `db.system.name`, `request` |
/// | `keyvaluestore.retries` | counter | `db.system.name`, `error.type` |
/// | `keyvaluestore.consumed_capacity` | histogram, units | `db.system.name`, `db.collection.name`, `index`, `direction` |
///
/// A call whose future was dropped has the `error.type` `cancelled`. All attempts of a
/// [`Retry`](super::Retry) below are one call.
///
/// Feature `metrics`. A call costs about 150 instructions more, if no other observer is above.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::wrap::Metrics;
/// use keyvaluestore::{Memory, Store};
/// let store = Store::new(Metrics::new(Memory::new(), "memory"));
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Metrics<B> {
    observed: Observed<B>,
    observer: Arc<MetricsObserver>,
}

impl<B> Metrics<B> {
    /// Emits with `system` as the `db.system.name` of calls: `redis`, `aws.dynamodb`.
    ///
    /// Single operations are timed with the processor's time stamp counter, if that is invariant.
    /// The first `Metrics` of a process calibrates it against the system clock, which takes about a
    /// millisecond, and at most 0.2 seconds.
    pub fn new(inner: B, system: &'static str) -> Self {
        let observer = Arc::new(MetricsObserver::new(system));
        Metrics { observed: Observed::with_arc(inner, observer.clone()), observer }
    }
}

impl<B: Backend> Wrapper for Metrics<B> {
    type Inner = B;
    fn inner(&self) -> &B {
        self.observed.inner()
    }
}

// Does the same as `Observed`, with a fast path for single operations without another observer.
impl<B: Backend> Backend for Metrics<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        if cx.observer.is_some() {
            return Box::pin(self.observed.read(cx, op)).await;
        }
        let call = Timing::start(&self.observer, || op.name());
        let reply = self.inner().read(self.observed.context(cx), op).await;
        call.end(matches!(op, Read::Get(_)).then_some(GET), &reply);
        reply
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        if cx.observer.is_some() {
            return Box::pin(self.observed.write(cx, op)).await;
        }
        let call = Timing::start(&self.observer, || op.name());
        let reply = self.inner().write(self.observed.context(cx), op).await;
        call.end(None, &reply);
        reply
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        self.observed.batch(cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        self.observed.transact(cx, writes).await
    }
}
