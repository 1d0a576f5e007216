//! Observability: the trait [`Observer`], which receives an event for each call, round trip, retry
//! and charge, and [`Profiler`], which sums them up.
//!
//! [`Store::with_observer`](crate::Store::with_observer) observes the calls of one handle.
//! [`Observed`](crate::wrap::Observed) observes all calls that pass one layer of a stack of
//! wrappers.

mod guard;
mod histogram;
mod profiler;

#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
pub(crate) use guard::RoundTripGuard;
pub(crate) use guard::{CallGuard, Fanout, ObserverSlot};
pub use histogram::Histogram;
pub use profiler::{CallProfile, CapacityUnits, Profiler};

use crate::ErrorKind;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// Receives the events of calls. It cannot change a result. It is called synchronously during the
/// call, so it should return quickly.
pub trait Observer: Debug + Send + Sync {
    /// A request to the storage system ended, with or without a response.
    fn on_round_trip(&self, backend: &'static str, request: &'static str, took: Duration) {
        let _ = (backend, request, took);
    }
    /// `backend` is about to retry a request, because of an error of this kind. `None` means that
    /// [`Retry`](crate::wrap::Retry) is about to retry a whole call.
    fn on_retry(&self, backend: Option<&'static str>, because: ErrorKind) {
        let _ = (backend, because);
    }
    /// The storage system charged for a request: one event for the table, and one for each index.
    fn on_capacity(&self, backend: &'static str, used: &ConsumedCapacity<'_>) {
        let _ = (backend, used);
    }
    /// Called when a call starts. Return `Some` to observe this call with a separate observer,
    /// which then receives its events, [`on_call_end`](Self::on_call_end) included, instead of
    /// `self`. A forwarding observer must forward this, too.
    fn on_call_start(&self, name: &'static str) -> Option<Arc<dyn Observer>> {
        let _ = name;
        None
    }
    /// A call ended: of the store, or of the layer that this observer belongs to.
    fn on_call_end(&self, call: &CallSummary) {
        let _ = call;
    }
}

/// The capacity that a request consumed of a table or of one of its indexes, in the units of the
/// storage system (DynamoDB: read and write capacity units).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConsumedCapacity<'c> {
    /// The table.
    pub table: &'c str,
    /// The index, or `None` for the table itself.
    pub index: Option<&'c str>,
    /// Read capacity units.
    pub read: f64,
    /// Write capacity units.
    pub write: f64,
}

/// A call that ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallSummary {
    /// The name of the method: `get`, `zadd_nx`, `batch`, `atomic_write`.
    pub name: &'static str,
    /// How many operations it had.
    pub operations: usize,
    /// How many of them failed. An atomic write fails as a whole.
    pub failed: usize,
    /// The kind of the first error.
    pub error: Option<ErrorKind>,
    /// Whether its future was dropped before it completed.
    pub cancelled: bool,
    /// How long it took.
    pub took: Duration,
}
