//! What calls do and cost: the [`Observer`] that is called on the way, and the [`Profiler`], which
//! adds it up.
//!
//! [`Store::with_observer`](crate::Store::with_observer) observes the calls of one handle,
//! [`Observed`](crate::wrap::Observed) everything that passes one place of a stack of wrappers.

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

/// Hears what a backend does to carry out an operation. It only observes: nothing it does changes a
/// result. Called in the middle of the work, so it should be quick.
pub trait Observer: Debug + Send + Sync {
    /// A request to the storage system ended, answered or not.
    fn on_round_trip(&self, backend: &'static str, request: &'static str, took: Duration) {
        let _ = (backend, request, took);
    }
    /// A request is about to be sent again by `backend`, because of an error of this kind; or a
    /// whole call by [`Retry`](crate::wrap::Retry), which is no backend.
    fn on_retry(&self, backend: Option<&'static str>, because: ErrorKind) {
        let _ = (backend, because);
    }
    /// The storage system charged for a request: once for the table, and once for each index.
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
    /// A call ended: one of the store, or of the place in a stack of wrappers at which this
    /// observer listens.
    fn on_call_end(&self, call: &CallSummary) {
        let _ = call;
    }
}

/// What a request consumed of a table, or of one of its indexes, in the units of the storage system
/// (of DynamoDB: read and write capacity units).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConsumedCapacity<'c> {
    /// The table.
    pub table: &'c str,
    /// Its index, or `None` for the table itself.
    pub index: Option<&'c str>,
    /// Units of reading.
    pub read: f64,
    /// Units of writing.
    pub write: f64,
}

/// A call that has ended: of the store, or of what is wrapped, by where its observer listens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallSummary {
    /// The name of the method: `get`, `zadd_nx`, `batch`, `atomic_write`.
    pub name: &'static str,
    /// How many operations it carried.
    pub operations: usize,
    /// How many of them failed; all of an atomic write.
    pub failed: usize,
    /// How the first of them failed.
    pub error: Option<ErrorKind>,
    /// Whether its future was dropped before it was done.
    pub cancelled: bool,
    /// How long it took.
    pub took: Duration,
}
