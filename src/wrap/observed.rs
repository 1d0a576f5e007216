//! [`Observed`]: has an observer listen at one place of a stack of wrappers.

use super::Wrapper;
use crate::backend::Context;
use crate::observe::{CallGuard, Observer, ObserverSlot};
use crate::op::{Op, Read, Reply, Write};
use crate::{Backend, Outcome, Result};
use std::sync::Arc;

/// Tells an [`Observer`] of every call that gets here, and of everything that happens below.
///
/// [`Store::with_profiler`](crate::Store::with_profiler) and
/// [`with_observer`](crate::Store::with_observer) listen at the top, to the calls of one handle;
/// this listens wherever it stands, to all who share it: below a cache, to what the cache did not
/// know. An observer from above goes on to hear everything.
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
    listener: ObserverSlot,
}

impl<B> Observed<B> {
    /// Tells `observer` of the calls of `inner`.
    pub fn new(inner: B, observer: impl Observer + 'static) -> Self {
        Observed::by(inner, Arc::new(observer))
    }
    pub(super) fn by(inner: B, observer: Arc<dyn Observer>) -> Self {
        Observed { inner, listener: ObserverSlot::new(observer) }
    }
    /// What is handed down of a call to which nobody else listens.
    #[inline]
    #[cfg(feature = "metrics")]
    pub(super) fn context(&self, cx: &Context) -> &Context {
        self.listener.context(cx.consistency)
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
        let mut watched = CallGuard::also(cx, &self.listener, op.name(), 1);
        let reply = self.inner.read(&watched.cx, op).await;
        watched.end(&reply);
        reply
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        let mut watched = CallGuard::also(cx, &self.listener, op.name(), 1);
        let reply = self.inner.write(&watched.cx, op).await;
        watched.end(&reply);
        reply
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let mut watched = CallGuard::also(cx, &self.listener, "batch", ops.len());
        let replies = self.inner.batch(&watched.cx, ops).await;
        watched.end_each(&replies);
        replies
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let mut watched = CallGuard::also(cx, &self.listener, "atomic_write", writes.len());
        let outcome = self.inner.transact(&watched.cx, writes).await;
        watched.end(&outcome);
        outcome
    }
}
