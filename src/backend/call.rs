//! What an observer is told of a whole call, and how a call is watched.

use super::{Consistency, ConsumedCapacity, Context, Observer};
use crate::op::Reply;
use crate::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A call that has ended: of the store, or of what is wrapped, by where its observer listens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallSummary {
    /// The name of the method: `get`, `zadd_nx`, `batch`, `atomic_write`.
    pub name: &'static str,
    /// How many operations it carried.
    pub operations: usize,
    /// How many of them failed; all of an atomic write.
    pub failed: usize,
    /// How the first of them failed.
    pub error: Option<ErrorKind>,
    /// Whether its future was dropped before it was done.
    pub cancelled: bool,
    /// How long it took.
    pub took: Duration,
}

/// Two observers that both hear everything.
#[derive(Debug)]
pub(crate) struct Both(pub(crate) Arc<dyn Observer>, pub(crate) Arc<dyn Observer>);

impl Both {
    /// Whoever listens already, and one more.
    pub(crate) fn of(
        first: Option<&Arc<dyn Observer>>,
        second: Arc<dyn Observer>,
    ) -> Arc<dyn Observer> {
        match first {
            None => second,
            Some(first) => Arc::new(Both(Arc::clone(first), second)),
        }
    }
}

impl Observer for Both {
    fn on_round_trip(&self, backend: &'static str, request: &'static str, took: Duration) {
        self.0.on_round_trip(backend, request, took);
        self.1.on_round_trip(backend, request, took);
    }
    fn on_retry(&self, backend: Option<&'static str>, because: ErrorKind) {
        self.0.on_retry(backend, because);
        self.1.on_retry(backend, because);
    }
    fn on_capacity(&self, backend: &'static str, used: &ConsumedCapacity<'_>) {
        self.0.on_capacity(backend, used);
        self.1.on_capacity(backend, used);
    }
    fn on_call_start(&self, name: &'static str) -> Option<Arc<dyn Observer>> {
        match (self.0.on_call_start(name), self.1.on_call_start(name)) {
            (None, None) => None,
            (first, second) => Some(Arc::new(Both(
                first.unwrap_or_else(|| Arc::clone(&self.0)),
                second.unwrap_or_else(|| Arc::clone(&self.1)),
            ))),
        }
    }
    fn on_call_end(&self, call: &CallSummary) {
        self.0.on_call_end(call);
        self.1.on_call_end(call);
    }
}

/// Who listens at one place of a stack, and the contexts of the calls that get there with nobody else listening.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    observer: Arc<dyn Observer>,
    strong: Context,
    eventual: Context,
}

impl Listener {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        let strong = Context::default().with_observer(Arc::clone(&observer));
        let eventual = strong.clone().with_consistency(Consistency::Eventual);
        Listener { observer, strong, eventual }
    }
    #[inline]
    pub(crate) fn context(&self, consistency: Consistency) -> &Context {
        match consistency {
            Consistency::Strong => &self.strong,
            Consistency::Eventual => &self.eventual,
        }
    }
}

/// Watches a call from its start until it is dropped, which tells the observer.
pub(crate) struct Watched<'o> {
    /// What is to be handed down, so that the observer hears what happens there. Lent where it is the same for every call, which
    /// is wherever nobody wants to be told one call from another.
    pub(crate) cx: Cow<'o, Context>,
    observer: &'o dyn Observer,
    /// Who listens to this one call in its place.
    own: Option<Arc<dyn Observer>>,
    name: &'static str,
    operations: usize,
    failed: usize,
    error: Option<ErrorKind>,
    ended: bool,
    start: Instant,
}

impl<'o> Watched<'o> {
    /// For `observer`, who listens at `cx` already.
    #[inline]
    pub(crate) fn start(
        cx: &'o Context,
        observer: &'o dyn Observer,
        name: &'static str,
        operations: usize,
    ) -> Self {
        let own = observer.on_call_start(name);
        let cx = match &own {
            None => Cow::Borrowed(cx),
            Some(own) => Cow::Owned(cx.clone().with_observer(Arc::clone(own))),
        };
        Watched::listen(cx, observer, own, name, operations)
    }
    /// For one more observer, at this place of the stack.
    #[inline]
    pub(crate) fn also(
        cx: &Context,
        listener: &'o Listener,
        name: &'static str,
        operations: usize,
    ) -> Self {
        let observer = &listener.observer;
        let own = observer.on_call_start(name);
        let cx = match (&cx.observer, &own) {
            (None, None) => Cow::Borrowed(listener.context(cx.consistency)),
            (others, own) => {
                let heard = Both::of(others.as_ref(), Arc::clone(own.as_ref().unwrap_or(observer)));
                Cow::Owned(cx.clone().with_observer(heard))
            }
        };
        Watched::listen(cx, &**observer, own, name, operations)
    }
    #[inline]
    fn listen(
        cx: Cow<'o, Context>,
        observer: &'o dyn Observer,
        own: Option<Arc<dyn Observer>>,
        name: &'static str,
        operations: usize,
    ) -> Self {
        let (failed, error, ended) = (0, None, false);
        let start = Instant::now();
        Watched { cx, observer, own, name, operations, failed, error, ended, start }
    }
    /// It has ended so.
    #[inline]
    pub(crate) fn end<T>(&mut self, result: &Result<T>) {
        self.ended = true;
        if let Err(e) = result {
            self.failed = self.operations;
            self.error = Some(e.kind());
        }
    }
    /// A batch has ended so.
    pub(crate) fn end_each(&mut self, results: &[Result<Reply>]) {
        self.ended = true;
        let mut errors = results.iter().filter_map(|result| result.as_ref().err());
        self.error = errors.next().map(Error::kind);
        self.failed = usize::from(self.error.is_some()) + errors.count();
    }
}

impl Drop for Watched<'_> {
    #[inline]
    fn drop(&mut self) {
        let call = CallSummary {
            name: self.name,
            operations: self.operations,
            failed: self.failed,
            error: self.error,
            cancelled: !self.ended,
            took: self.start.elapsed(),
        };
        self.own.as_deref().unwrap_or(self.observer).on_call_end(&call);
    }
}
