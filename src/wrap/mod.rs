//! Wrappers: each is a [`Backend`] around any other [`Backend`]. A wrapper implements the four
//! functions of the trait and no operation, so a new operation does not change it.
//!
//! | wrapper | what it does | feature |
//! |---|---|---|
//! | [`Cache`] | caches replies until their key is written | `cache` |
//! | [`OnWrite`] | calls a hook with each written key, for caches elsewhere | |
//! | [`Prefix`] | puts a namespace in front of every key | |
//! | [`Observed`] | adds an [`Observer`](crate::observe::Observer) to one layer of the stack | |
//! | [`Metrics`] | emits metrics through the facade `metrics` | `metrics` |
//! | [`Trace`] | emits a span per call through the facade `tracing` | `tracing` |
//! | [`Retry`] | retries failed calls with backoff and a budget | `retry` |
//! | [`Timeout`] | limits the duration of a call | `timeout` |
//!
//! # How to stack them
//!
//! Every order keeps the contract, except a `Cache` above a `Retry` with
//! [`retry_unknown_outcome`](RetryPolicy::retry_unknown_outcome). The recommended order, from the
//! outside in:
//!
//! ```text
//!  Metrics     measures what the application sees: cache hits, and all attempts as one call
//!  Cache       answers hits before anything below is called
//!  OnWrite     calls its hook once per write, also for one that was retried
//!  Retry       each attempt has the timeout below
//!  Timeout
//!  Prefix      last: the wrappers above see the keys of the application
//!  backend
//! ```
//!
//! - A `Cache` above `Prefix` caches the keys of one prefix; below it, those of all prefixes.
//! - A `Timeout` below `Retry` limits one attempt; above it, the whole call.
//! - With `Retry` below `Cache`, all callers that miss the same read wait for one series of
//!   attempts.
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
//! // The wrapped backend stays accessible, with its type:
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

/// A backend that wraps another backend.
pub trait Wrapper: Backend {
    /// The type of the wrapped backend.
    type Inner: Backend;
    /// The wrapped backend.
    fn inner(&self) -> &Self::Inner;
}

/// # Wrappers
impl<W: Wrapper> Store<W> {
    /// A store on the wrapped backend, with the same limits, consistency and observers. It bypasses
    /// this wrapper: for example the cache, or the prefix.
    ///
    /// If the type of the backend is erased,
    /// [`DynBackend::downcast_ref`](crate::backend::DynBackend::downcast_ref) returns the wrapper.
    pub fn inner(&self) -> Store<W::Inner>
    where
        W::Inner: Clone,
    {
        self.on(self.backend().inner().clone())
    }
}
