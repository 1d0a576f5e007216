//! [`Metrics`]: counts and times through the facade `metrics`, with the names of OpenTelemetry's conventions for databases.
//!
//! The table is at the type. Labels are bounded: names of operations, requests, kinds of errors, tables and their indexes. Never keys, never values.

use super::{Observed, Wrapper};
use crate::backend::{Call, Capacity, Context, Observer};
use crate::{Backend, ErrorKind, Op, Outcome, Read, Reply, Result, Write};
use metrics::{Histogram, Unit, counter, describe_counter, describe_histogram, histogram};
use std::sync::OnceLock;
use std::time::Duration;

/// Every name that a call can have, the frequent ones first.
const NAMES: [&str; 30] = [
    "get",
    "set",
    "batch",
    "atomic_write",
    "hget",
    "hgetall",
    "hset",
    "zrange",
    "zadd",
    "zhrange",
    "zhget",
    "zhadd",
    "delete",
    "delete_xx",
    "incr_by",
    "set_nx",
    "set_xx",
    "set_eq",
    "smembers",
    "sadd",
    "srem",
    "hset_nx",
    "hdel",
    "zscore",
    "zcount",
    "zlexcount",
    "zincr_by",
    "zrem",
    "zadd_nx",
    "zhadd_nx",
];

/// Emits what it hears. See [`Metrics`]; by itself for [`Store::with_observer`](crate::Store::with_observer).
#[derive(Debug)]
pub struct MetricsObserver {
    system: &'static str,
    /// By the place in `NAMES`: made once, as making one looks it up by its labels.
    durations: [OnceLock<Histogram>; NAMES.len()],
}

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
        describe_counter!(RETRIES, Unit::Count, "Requests that were sent again.");
        describe_histogram!(CAPACITY, Unit::Count, "Capacity units that a request has consumed.");
        MetricsObserver { system, durations: [const { OnceLock::new() }; NAMES.len()] }
    }
    #[cold]
    fn failed(&self, call: &Call, error: &'static str) {
        histogram!(
            DURATION,
            "db.system.name" => self.system,
            "db.operation.name" => call.name,
            "error.type" => error
        )
        .record(call.took);
    }
    fn duration(&self, name: &'static str) -> Histogram {
        histogram!(DURATION, "db.system.name" => self.system, "db.operation.name" => name)
    }
}

/// A kind of error as a label.
pub(super) fn label(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "invalid_argument",
        ErrorKind::TooLarge => "too_large",
        ErrorKind::WrongType => "wrong_type",
        ErrorKind::Overflow => "overflow",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Throttled => "throttled",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Timeout => "timeout",
        ErrorKind::AccessDenied => "access_denied",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Other => "other",
    }
}

impl Observer for MetricsObserver {
    fn round_trip(&self, backend: &'static str, request: &'static str, took: Duration) {
        histogram!(ROUND_TRIP, "db.system.name" => backend, "request" => request).record(took);
    }
    fn retry(&self, backend: &'static str, because: ErrorKind) {
        counter!(RETRIES, "db.system.name" => backend, "error.type" => label(because)).increment(1);
    }
    fn capacity(&self, backend: &'static str, used: &Capacity<'_>) {
        for (direction, units) in [("read", used.read), ("write", used.write)] {
            if units > 0.0 {
                histogram!(
                    CAPACITY,
                    "db.system.name" => backend,
                    "db.collection.name" => used.table.to_owned(),
                    "index" => used.index.unwrap_or_default().to_owned(),
                    "direction" => direction
                )
                .record(units);
            }
        }
    }
    fn call(&self, call: &Call) {
        match (call.error, NAMES.iter().position(|name| *name == call.name)) {
            (Some(kind), _) => self.failed(call, label(kind)),
            (None, _) if call.given_up => self.failed(call, "given_up"),
            (None, Some(at)) => {
                self.durations[at].get_or_init(|| self.duration(call.name)).record(call.took);
            }
            (None, None) => self.duration(call.name).record(call.took),
        }
    }
}

/// Counts and times every call that gets here, and everything that happens below, through the facade [`metrics`].
///
/// Install the recorder (an exporter to Prometheus, or to whatever collects them) before the first call. The example `metrics`
/// does. Keys and values are in none of the labels.
///
/// | metric | kind | labels |
/// |---|---|---|
/// | `db.client.operation.duration` | histogram, seconds | `db.system.name`, `db.operation.name`, of failed ones `error.type` |
/// | `keyvaluestore.round_trip.duration` | histogram, seconds | `db.system.name`, `request` |
/// | `keyvaluestore.retries` | counter | `db.system.name`, `error.type` |
/// | `keyvaluestore.consumed_capacity` | histogram, units | `db.system.name`, `db.collection.name`, `index`, `direction` |
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
pub struct Metrics<B>(Observed<B>);

impl<B> Metrics<B> {
    /// Emits with `system` as the `db.system.name` of calls: `redis`, `aws.dynamodb`.
    pub fn new(inner: B, system: &'static str) -> Self {
        Metrics(Observed::new(inner, MetricsObserver::new(system)))
    }
}

impl<B: Backend> Wrapper for Metrics<B> {
    type Inner = B;
    fn inner(&self) -> &B {
        self.0.inner()
    }
}

// Not `async fn`: another future around that of `Observed` would be one more for nothing.
impl<B: Backend> Backend for Metrics<B> {
    fn read(&self, cx: &Context, op: &Read) -> impl Future<Output = Result<Reply>> + Send {
        self.0.read(cx, op)
    }
    fn write(&self, cx: &Context, op: &Write) -> impl Future<Output = Result<Reply>> + Send {
        self.0.write(cx, op)
    }
    fn batch(&self, cx: &Context, ops: &[Op]) -> impl Future<Output = Vec<Result<Reply>>> + Send {
        self.0.batch(cx, ops)
    }
    fn transact(
        &self,
        cx: &Context,
        writes: &[Write],
    ) -> impl Future<Output = Result<Outcome>> + Send {
        self.0.transact(cx, writes)
    }
}
