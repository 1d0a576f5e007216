//! [`Timeout`]: limits the duration of each call.

use super::Wrapper;
use crate::backend::Context;
use crate::op::{Op, Read, Reply, Write};
use crate::runtime::with_drivers;
use crate::{Backend, Error, ErrorKind, Outcome, Result};
use futures_util::future::poll_immediate;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// Cancels a call that takes longer than a limit. The call fails with [`ErrorKind::Timeout`].
///
/// A write that timed out is in doubt, and so is each write of a batch that timed out:
/// [`outcome_is_unknown`](crate::Error::outcome_is_unknown) is true for their errors.
///
/// Needs a tokio runtime with a timer, unless the call completes at the first poll; without one, it
/// fails with `Unsupported`. Feature `timeout`. A call that completes at the first poll costs about
/// 150 instructions more and starts no timer. It emits no event: a call that timed out is a failed
/// call for observers above, and a cancelled one for those below.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::wrap::Timeout;
/// use keyvaluestore::{Memory, Store};
/// use std::time::Duration;
///
/// let store = Store::new(Timeout::new(Memory::new(), Duration::from_secs(2)));
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Timeout<B> {
    inner: B,
    limit: Duration,
}

fn timed_out() -> Error {
    Error::new(ErrorKind::Timeout, "the call timed out")
}

impl<B> Timeout<B> {
    /// Limits each call of `inner` to `limit`.
    pub fn new(inner: B, limit: Duration) -> Self {
        Timeout { inner, limit }
    }
    /// Starts a timer only if `call` does not complete at the first poll.
    #[inline]
    async fn within<T>(&self, call: impl Future<Output = T>) -> Result<T> {
        let mut call = pin!(call);
        match poll_immediate(call.as_mut()).await {
            Some(reply) => Ok(reply),
            // Boxed: otherwise the future of each call would contain a timer.
            None => {
                Box::pin(async {
                    // The call has started, so its outcome is unknown even without a timer.
                    match with_drivers(|| tokio::time::timeout(self.limit, call)) {
                        Ok(limited) => limited.await.map_err(|_| timed_out()),
                        Err(e) => Err(e),
                    }
                })
                .await
            }
        }
    }
}

impl<B: Backend> Wrapper for Timeout<B> {
    type Inner = B;
    fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: Backend> Backend for Timeout<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        self.within(self.inner.read(cx, op)).await.flatten()
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        let reply = self.within(self.inner.write(cx, op)).await;
        reply.unwrap_or_else(|e| Err(e.with_unknown_outcome()))
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let replies = self.within(self.inner.batch(cx, ops)).await;
        let error = |op: &Op, e: &Error| match op {
            Op::Read(_) => Err(e.clone()),
            Op::Write(_) => Err(e.clone().with_unknown_outcome()),
        };
        replies.unwrap_or_else(|e| ops.iter().map(|op| error(op, &e)).collect())
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let outcome = self.within(self.inner.transact(cx, writes)).await;
        outcome.unwrap_or_else(|e| Err(e.with_unknown_outcome()))
    }
}
