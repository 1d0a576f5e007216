//! [`Observed`]: adds an observer to one layer of a stack of wrappers.

use super::Wrapper;
use crate::backend::Context;
use crate::observe::{CallGuard, Observer, ObserverSlot};
use crate::op::{Op, Read, Reply, Write};
use crate::{Backend, Outcome, Result};
use std::sync::Arc;

/// Reports each call of this layer, and the events below it, to an [`Observer`].
///
/// [`Store::with_profiler`](crate::Store::with_profiler) and
/// [`with_observer`](crate::Store::with_observer) observe the calls of one handle, above all
/// wrappers. This observes the calls of all handles at its layer: below a cache, only the misses.
/// Observers above it still receive all events.
///
/// No feature. Each call costs two clock reads and the observer's own work; it allocates only if
/// there is another observer above, or the observer observes each call separately.
///
/// ```
/// # #[cfg(feature = "cache")]
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::wrap::{Cache, CacheOptions, Observed};
/// use keyvaluestore::observe::Profiler;
/// use keyvaluestore::{Memory, Store};
///
/// let misses = Profiler::new();
/// let below = Observed::new(Memory::new(), misses.clone());
/// let store = Store::new(Cache::shared(below, CacheOptions::max_replies(1_000)));
/// for _ in 0..5 {
///     store.get("k").await?;
/// }
/// assert_eq!(misses.total().calls, 1);
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Observed<B> {
    inner: B,
    slot: ObserverSlot,
}

impl<B> Observed<B> {
    /// Reports the calls of `inner` to `observer`.
    pub fn new(inner: B, observer: impl Observer + 'static) -> Self {
        Observed::with_arc(inner, Arc::new(observer))
    }
    pub(super) fn with_arc(inner: B, observer: Arc<dyn Observer>) -> Self {
        Observed { inner, slot: ObserverSlot::new(observer) }
    }
    /// The context for the layers below, of a call without another observer.
    #[inline]
    #[cfg(feature = "metrics")]
    pub(super) fn context(&self, cx: &Context) -> &Context {
        self.slot.context(cx.consistency)
    }
}

impl<B: Backend> Wrapper for Observed<B> {
    type Inner = B;
    fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: Backend> Backend for Observed<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        let mut guard = CallGuard::also(cx, &self.slot, op.name(), 1);
        let reply = self.inner.read(&guard.cx, op).await;
        guard.end(&reply);
        reply
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        let mut guard = CallGuard::also(cx, &self.slot, op.name(), 1);
        let reply = self.inner.write(&guard.cx, op).await;
        guard.end(&reply);
        reply
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let mut guard = CallGuard::also(cx, &self.slot, "batch", ops.len());
        let replies = self.inner.batch(&guard.cx, ops).await;
        guard.end_each(&replies);
        replies
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let mut guard = CallGuard::also(cx, &self.slot, "atomic_write", writes.len());
        let outcome = self.inner.transact(&guard.cx, writes).await;
        guard.end(&outcome);
        outcome
    }
}
