//! [`Timeout`]: gives up what takes too long.

use super::Wrapper;
use crate::backend::Context;
use crate::op::{Op, Read, Reply, Write};
use crate::runtime::with_drivers;
use crate::{Backend, Error, ErrorKind, Outcome, Result};
use futures_util::future::poll_immediate;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// Gives up every call that takes longer than a limit, with an error of kind `Timeout`.
///
/// The outcome of a write that timed out is unknown, and the error says so. So is that of each
/// write of a batch. A call that is not answered at once needs a tokio runtime with a timer, and
/// fails with `Unsupported` without one.
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

fn given_up() -> Error {
    Error::new(ErrorKind::Timeout, "there was no answer in the time allowed")
}

impl<B> Timeout<B> {
    /// Gives up what takes longer than `limit`.
    pub fn new(inner: B, limit: Duration) -> Self {
        Timeout { inner, limit }
    }
    /// `Timeout` if it takes too long. A call that is answered at once does not start a timer.
    #[inline]
    async fn within<T>(&self, call: impl Future<Output = T>) -> Result<T> {
        let mut call = pin!(call);
        match poll_immediate(call.as_mut()).await {
            Some(answer) => Ok(answer),
            // In a box, as every call would carry the room for a timer.
            None => {
                Box::pin(async {
                    // The call has begun, so the outcome is unknown also where there is no timer.
                    match with_drivers(|| tokio::time::timeout(self.limit, call)) {
                        Ok(limited) => limited.await.map_err(|_| given_up()),
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
        let lost = |op: &Op, e: &Error| match op {
            Op::Read(_) => Err(e.clone()),
            Op::Write(_) => Err(e.clone().with_unknown_outcome()),
        };
        replies.unwrap_or_else(|e| ops.iter().map(|op| lost(op, &e)).collect())
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let outcome = self.within(self.inner.transact(cx, writes)).await;
        outcome.unwrap_or_else(|e| Err(e.with_unknown_outcome()))
    }
}
