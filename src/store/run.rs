//! How a [`Store`] runs a call: limits, then the backend, then the reply as the caller's type.

use super::Store;
use crate::backend::fast_path;
use crate::observe::{CallGuard, Observer};
use crate::op::{FromReply, Named, Op, Read, Reply, Write};
use crate::{Backend, Outcome, Result};

impl<B: Backend> Store<B> {
    // Not `async fn`, and nor are the methods that call these: what they are given is turned into
    // the operation on the spot, and the future that is left is one, holds the operation once, and
    // is `Send` whatever was given.
    //
    // Inlined whether the compiler would or not, as are the methods for strings: the operation is
    // then made in the place where it stays. Returned from a function it is a copy of what has been
    // written a moment ago in smaller pieces, for which a processor waits longer than for the map
    // of the memory backend.
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
            // By reference: to move it out would be another copy.
            let op = match op {
                Ok(ref op) => op,
                Err(e) => return Err(e.in_operation(O::NAME)),
            };
            if let Err(e) = self.limits.check_read(op) {
                return Err(e.in_operation(op.name()));
            }
            let reply = match self.context.observer.as_deref() {
                Some(observer) => Box::pin(self.observed_read(observer, op)).await,
                None => match fast_path::read(&self.backend, op) {
                    Some(reply) => return decoded(reply, || op.name(), false),
                    None => self.backend.read(&self.context, op).await,
                },
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
            // By reference: to move it out would be another copy.
            let op = match op {
                Ok(ref mut op) => op,
                Err(e) => return Err(e.in_operation(O::NAME)),
            };
            if let Err(e) = self.limits.check_write(op) {
                return Err(e.in_operation(op.name()));
            }
            let reply = match self.context.observer.as_deref() {
                Some(observer) => Box::pin(self.observed_write(observer, op)).await,
                None => match fast_path::write(&self.backend, op) {
                    Some(reply) => return decoded(reply, || op.name(), true),
                    None => self.backend.write(&self.context, op).await,
                },
            };
            decoded(reply, || op.name(), true)
        }
    }
}

/// What the caller asked for. A write whose reply is not that has been applied all the same.
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

/// The same with somebody listening: apart, and boxed, so that a call to which nobody listens pays
/// nothing for it.
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
    /// Carries out a batch.
    pub(crate) async fn send_batch(&self, ops: &[Op]) -> Vec<Result<Reply>> {
        let Some(observer) = self.context.observer.as_deref() else {
            return self.backend.batch(&self.context, ops).await;
        };
        let mut guard = CallGuard::start(&self.context, observer, "batch", ops.len());
        let replies = self.backend.batch(&guard.cx, ops).await;
        guard.end_each(&replies);
        replies
    }
    /// Carries out an atomic write.
    pub(crate) async fn send_atomic(&self, writes: &mut [Write]) -> Result<Outcome> {
        let Some(observer) = self.context.observer.as_deref() else {
            return match fast_path::transact(&self.backend, writes) {
                Some(outcome) => outcome,
                None => self.backend.transact(&self.context, writes).await,
            };
        };
        let mut guard = CallGuard::start(&self.context, observer, "atomic_write", writes.len());
        let outcome = self.backend.transact(&guard.cx, writes).await;
        guard.end(&outcome);
        outcome
    }
}
