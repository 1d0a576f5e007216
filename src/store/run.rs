//! How a [`Store`] runs a call: limits, then the backend, then the reply as the caller's type.

use super::Store;
use crate::backend::FastPath;
use crate::observe::{CallGuard, Observer};
use crate::op::{FromReply, Named, Op, Read, Reply, Write};
use crate::{Backend, Outcome, Result};

impl<B: Backend> Store<B> {
    // Neither these functions nor their callers are `async fn`: arguments are converted before the
    // future is made. So there is one future, which holds the operation once, and it is `Send`
    // whatever the types of the arguments are.
    //
    // Always inlined, as are the methods for strings, so that the operation is built in place. If a
    // function returned it, the copy would be a store forwarding stall, which takes longer than the
    // lookup in the memory backend.
    #[inline]
    pub(crate) fn run_read<T: FromReply, O>(
        &self,
        op: Result<O>,
    ) -> impl Future<Output = Result<T>> + Send
    where
        O: Into<Read> + Named,
    {
        let op = op.map(Into::into);
        async move {
            // By reference: moving it out would copy it.
            let op = match op {
                Ok(ref op) => op,
                Err(e) => return Err(e.in_operation(O::NAME)),
            };
            if let Err(e) = self.limits.check_read(op) {
                return Err(e.in_operation(op.name()));
            }
            let reply = match (self.context.observer.as_deref(), FastPath::of(&self.backend)) {
                (None, Some(memory)) => return decoded(memory.read(op), || op.name(), false),
                (None, None) => self.backend.read(&self.context, op).await,
                (Some(observer), _) => Box::pin(self.observed_read(observer, op)).await,
            };
            decoded(reply, || op.name(), false)
        }
    }

    #[inline(always)]
    pub(crate) fn run_write<T: FromReply, O>(
        &self,
        op: Result<O>,
    ) -> impl Future<Output = Result<T>> + Send
    where
        O: Into<Write> + Named,
    {
        let mut op = op.map(Into::into);
        async move {
            // By reference: moving it out would copy it.
            let op = match op {
                Ok(ref mut op) => op,
                Err(e) => return Err(e.in_operation(O::NAME)),
            };
            if let Err(e) = self.limits.check_write(op) {
                return Err(e.in_operation(op.name()));
            }
            let reply = match (self.context.observer.as_deref(), FastPath::of(&self.backend)) {
                (None, Some(memory)) => return decoded(memory.write(op), || op.name(), true),
                (None, None) => self.backend.write(&self.context, op).await,
                (Some(observer), _) => Box::pin(self.observed_write(observer, op)).await,
            };
            decoded(reply, || op.name(), true)
        }
    }
}

/// The reply as the caller's type. If a write's reply is of another type, the write was applied
/// nevertheless, so its outcome is unknown.
#[inline]
fn decoded<T: FromReply>(
    reply: Result<Reply>,
    name: impl FnOnce() -> &'static str,
    is_write: bool,
) -> Result<T> {
    match reply {
        Ok(reply) => T::from_reply(reply).map_err(|e| {
            let e = e.in_operation(name());
            if is_write { e.with_unknown_outcome() } else { e }
        }),
        Err(e) => Err(e.in_operation(name())),
    }
}

/// Calls with an observer. Their futures are boxed, so that calls without one are not larger.
impl<B: Backend> Store<B> {
    async fn observed_read(&self, observer: &dyn Observer, op: &Read) -> Result<Reply> {
        let mut guard = CallGuard::start(&self.context, observer, op.name(), 1);
        let reply = self.backend.read(&guard.cx, op).await;
        guard.end(&reply);
        reply
    }
    async fn observed_write(&self, observer: &dyn Observer, op: &Write) -> Result<Reply> {
        let mut guard = CallGuard::start(&self.context, observer, op.name(), 1);
        let reply = self.backend.write(&guard.cx, op).await;
        guard.end(&reply);
        reply
    }
    /// Runs a batch.
    pub(crate) async fn send_batch(&self, ops: &[Op]) -> Vec<Result<Reply>> {
        let Some(observer) = self.context.observer.as_deref() else {
            return self.backend.batch(&self.context, ops).await;
        };
        let mut guard = CallGuard::start(&self.context, observer, "batch", ops.len());
        let replies = self.backend.batch(&guard.cx, ops).await;
        guard.end_each(&replies);
        replies
    }
    /// Runs an atomic write.
    pub(crate) async fn send_atomic(&self, writes: &mut [Write]) -> Result<Outcome> {
        let Some(observer) = self.context.observer.as_deref() else {
            return match FastPath::of(&self.backend) {
                Some(memory) => memory.transact(writes),
                None => self.backend.transact(&self.context, writes).await,
            };
        };
        let mut guard = CallGuard::start(&self.context, observer, "atomic_write", writes.len());
        let outcome = self.backend.transact(&guard.cx, writes).await;
        guard.end(&outcome);
        outcome
    }
}
