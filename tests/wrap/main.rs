//! The wrappers: the behaviour of each beyond the contract. `tests/conformance.rs` and
//! `tests/differential.rs` test the contract.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod parking_backend;

mod observers;
mod on_write;
mod prefix;

#[cfg(feature = "cache")]
mod cache;
#[cfg(feature = "cache")]
mod cache_batches;
#[cfg(feature = "cache")]
mod cache_bounds;
#[cfg(feature = "cache")]
mod cache_races;
#[cfg(feature = "cache")]
mod cache_single_flight;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(all(feature = "retry", feature = "timeout"))]
mod no_timer;
#[cfg(all(feature = "retry", feature = "timeout"))]
mod retry;
#[cfg(feature = "tracing")]
mod trace;

#[cfg(feature = "cache")]
use cache::caches;
use futures_util::FutureExt;
#[cfg(feature = "cache")]
use keyvaluestore::wrap::Cache;
use std::future::Future;

/// The result of a call that must not wait.
#[track_caller]
fn now<T>(future: impl IntoFuture<Output = T>) -> T {
    future.into_future().now_or_never().expect("it does not wait")
}

/// Polls a future that must wait.
#[track_caller]
fn waits<F: Future + Unpin>(future: &mut F) {
    assert!(future.now_or_never().is_none(), "it should wait");
}
