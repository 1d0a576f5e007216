//! Wrappers: each is a [`Backend`] over any [`Backend`], four functions, with no line per
//! operation.
//!
//! | wrapper | what it does | feature |
//! |---|---|---|
//! | [`Cache`] | remembers what was read until it is written | `cache` |
//! | [`OnWrite`] | tells a hook which keys were written, for caches elsewhere | |
//! | [`Prefix`] | puts a namespace in front of every key | |
//! | [`Observed`] | has an [`Observer`](crate::observe::Observer), such as a [`Profiler`](crate::observe::Profiler), listen at this place of the stack | |
//! | [`Metrics`] | counts and times through the facade `metrics` | `metrics` |
//! | [`Trace`] | a span per call through the facade `tracing` | `tracing` |
//! | [`Retry`] | retries what is known not to have been applied, with backoff and a budget | `retry` |
//! | [`Timeout`] | limits the time of a call | `timeout` |
//!
//! # How to stack them
//!
//! Every order keeps the contract (but for a `Cache` above a `Retry` with
//! [`retry_unknown_outcome`](RetryPolicy::retry_unknown_outcome)). This one is what you want, from
//! the outside in:
//!
//! ```text
//!  Metrics     sees what the application sees: hits of the cache, all tries as one call
//!  Cache       answers before anything below is asked
//!  OnWrite  is told of every write, also one that was tried twice, once
//!  Retry       has every try cut off by the timeout below it
//!  Timeout
//!  Prefix      last: what is above knows the keys as the application does
//!  backend
//! ```
//!
//! - `Cache` above `Prefix` shares a cache among those that share a prefix; below it, among all
//!   prefixes.
//! - `Timeout` below `Retry` limits one try, above it the whole call.
//! - `Retry` below `Cache` has a hundred callers who wait for one read wait for one series of
//!   tries.
//!
//! ```
//! # #[cfg(feature = "cache")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use keyvaluestore::wrap::{Cache, CacheOptions, Prefix};
//! use keyvaluestore::{Memory, Store};
//!
//! let backend = Prefix::new(Memory::new(), "app");
//! let store = Store::with_backend(Cache::shared(backend, CacheOptions::max_bytes(64 << 20)));
//! store.set("k", "v").await?;
//! // What is wrapped stays within reach, with its type:
//! assert_eq!(store.inner().inner().get("app:k").await?.unwrap(), "v");
//! # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
//! ```

#[cfg(feature = "cache")]
mod cache;
#[cfg(feature = "metrics")]
mod metrics;
mod observed;
mod on_write;
mod prefix;
#[cfg(feature = "retry")]
mod retry;
#[cfg(feature = "timeout")]
mod timeout;
#[cfg(feature = "tracing")]
mod trace;

#[cfg(feature = "cache")]
pub use cache::{Cache, CacheOptions, CacheStats};
#[cfg(feature = "metrics")]
pub use metrics::{Metrics, MetricsObserver};
pub use observed::Observed;
pub use on_write::OnWrite;
pub use prefix::Prefix;
#[cfg(feature = "retry")]
pub use retry::{Retry, RetryPolicy};
#[cfg(feature = "timeout")]
pub use timeout::Timeout;
#[cfg(feature = "tracing")]
pub use trace::Trace;

use crate::{Backend, Store};

/// A backend that is made of another one.
pub trait Wrapper: Backend {
    /// What is wrapped.
    type Inner: Backend;
    /// What is wrapped.
    fn inner(&self) -> &Self::Inner;
}

/// # Wrappers
impl<W: Wrapper> Store<W> {
    /// The store on what is wrapped, with the same limits, consistency and observers: past the
    /// cache, without the prefix.
    ///
    /// Of a store whose backend is erased,
    /// [`DynBackend::downcast_ref`](crate::backend::DynBackend::downcast_ref) gives the wrapper by
    /// its type.
    pub fn inner(&self) -> Store<W::Inner>
    where
        W::Inner: Clone,
    {
        self.on(self.backend().inner().clone())
    }
}
