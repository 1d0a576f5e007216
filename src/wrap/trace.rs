//! [`Trace`]: emits a span per call through the facade `tracing`.

use super::Wrapper;
use crate::backend::{BoxFuture, Context};
use crate::op::{Op, Read, Reply, Write};
use crate::{Backend, Error, Key, Outcome, Result};
use std::future::Future;
use tracing::field::Empty;
use tracing::{Instrument, Span};

/// Emits a span `db.call` at level `DEBUG` for each call, with the fields of OpenTelemetry's
/// semantic conventions for databases: `db.system.name`, `db.operation.name`,
/// `db.operation.batch.size`, and `error.type` if the call failed.
///
/// A span contains the key only with [`with_keys`](Self::with_keys), as `db.key`. It never contains
/// a value.
///
/// Feature `tracing`. Without a subscriber, a call costs about 100 instructions more; with one, it
/// allocates a box.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::wrap::Trace;
/// use keyvaluestore::{Memory, Store};
/// let store = Store::new(Trace::new(Memory::new(), "memory"));
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Trace<B> {
    inner: B,
    system: &'static str,
    keys: bool,
}

impl<B> Trace<B> {
    /// Emits spans with `system` as their `db.system.name`: `redis`, `aws.dynamodb`.
    pub fn new(inner: B, system: &'static str) -> Self {
        Trace { inner, system, keys: false }
    }
    /// Adds the key to the spans of single operations.
    #[must_use]
    pub fn with_keys(mut self) -> Self {
        self.keys = true;
        self
    }
    /// `None` if no subscriber is interested.
    #[inline]
    fn span(
        &self,
        name: &'static str,
        key: Option<&Key>,
        operations: Option<usize>,
    ) -> Option<Span> {
        // First a comparison of two integers, as most programs have no subscriber.
        if !tracing::level_enabled!(tracing::Level::DEBUG) {
            return None;
        }
        self.new_span(name, key, operations)
    }
    fn new_span(
        &self,
        name: &'static str,
        key: Option<&Key>,
        operations: Option<usize>,
    ) -> Option<Span> {
        let span = tracing::debug_span!(
            "db.call",
            otel.kind = "client",
            db.system.name = self.system,
            db.operation.name = name,
            db.operation.batch.size = Empty,
            db.key = Empty,
            error.type = Empty,
        );
        if span.is_disabled() {
            return None;
        }
        // The conventions omit a size of one.
        if let Some(operations) = operations.filter(|n| *n != 1) {
            span.record("db.operation.batch.size", operations);
        }
        if let (true, Some(key)) = (self.keys, key) {
            span.record("db.key", tracing::field::debug(key));
        }
        Some(span)
    }
}

/// Runs `call` in `span`. `error` returns the error in its result. Boxed: otherwise the future of
/// each call would be larger, and few calls are traced.
fn within<'c, T: 'c>(
    span: Span,
    call: impl Future<Output = T> + Send + 'c,
    error: fn(&T) -> Option<&Error>,
) -> BoxFuture<'c, T> {
    Box::pin(async move {
        let result = call.instrument(span.clone()).await;
        if let Some(error) = error(&result) {
            span.record("error.type", error.kind().as_str());
        }
        result
    })
}

#[allow(clippy::ptr_arg, reason = "the result type of a batch")]
fn first_error(replies: &Vec<Result<Reply>>) -> Option<&Error> {
    replies.iter().find_map(|reply| reply.as_ref().err())
}

impl<B: Backend> Wrapper for Trace<B> {
    type Inner = B;
    fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: Backend> Backend for Trace<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        let call = self.inner.read(cx, op);
        match self.span(op.name(), Some(op.key()), None) {
            None => call.await,
            Some(span) => within(span, call, |reply| reply.as_ref().err()).await,
        }
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        let call = self.inner.write(cx, op);
        match self.span(op.name(), Some(op.key()), None) {
            None => call.await,
            Some(span) => within(span, call, |reply| reply.as_ref().err()).await,
        }
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let call = self.inner.batch(cx, ops);
        match self.span("batch", None, Some(ops.len())) {
            None => call.await,
            Some(span) => within(span, call, first_error).await,
        }
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let call = self.inner.transact(cx, writes);
        match self.span("atomic_write", None, Some(writes.len())) {
            None => call.await,
            Some(span) => within(span, call, |outcome| outcome.as_ref().err()).await,
        }
    }
}
