//! How calls and round trips are observed: a guard reports them when it is dropped, so that what a
//! cancelled future has begun is reported, too.

use super::{CallSummary, ConsumedCapacity, Observer};
use crate::context::{Consistency, Context};
use crate::op::Reply;
use crate::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tells the observer of a round trip when it ends, one way or another.
#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
pub(crate) struct RoundTripGuard<'c> {
    observer: &'c dyn Observer,
    backend: &'static str,
    request: &'static str,
    start: Instant,
}

#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
impl<'c> RoundTripGuard<'c> {
    /// `None` if nobody listens.
    pub(crate) fn start(
        cx: &'c Context,
        backend: &'static str,
        request: &'static str,
    ) -> Option<Self> {
        let observer = cx.observer.as_deref()?;
        Some(RoundTripGuard { observer, backend, request, start: Instant::now() })
    }
}

#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
impl Drop for RoundTripGuard<'_> {
    fn drop(&mut self) {
        self.observer.on_round_trip(self.backend, self.request, self.start.elapsed());
    }
}

/// Two observers that both hear everything.
#[derive(Debug)]
pub(crate) struct Fanout(pub(crate) Arc<dyn Observer>, pub(crate) Arc<dyn Observer>);

impl Fanout {
    /// Whoever listens already, and one more.
    pub(crate) fn of(
        first: Option<&Arc<dyn Observer>>,
        second: Arc<dyn Observer>,
    ) -> Arc<dyn Observer> {
        match first {
            None => second,
            Some(first) => Arc::new(Fanout(Arc::clone(first), second)),
        }
    }
}

impl Observer for Fanout {
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
            (first, second) => Some(Arc::new(Fanout(
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

/// Who listens at one place of a stack, and the contexts of the calls that get there with nobody
/// else listening.
#[derive(Clone, Debug)]
pub(crate) struct ObserverSlot {
    observer: Arc<dyn Observer>,
    strong: Context,
    eventual: Context,
}

impl ObserverSlot {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        let strong = Context::default().with_observer(Arc::clone(&observer));
        let eventual = strong.clone().with_consistency(Consistency::Eventual);
        ObserverSlot { observer, strong, eventual }
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
pub(crate) struct CallGuard<'o> {
    /// What is to be handed down, so that the observer hears what happens there. Lent where it is
    /// the same for every call, which is wherever nobody wants to be told one call from another.
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

impl<'o> CallGuard<'o> {
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
        CallGuard::listen(cx, observer, own, name, operations)
    }
    /// For one more observer, at this place of the stack.
    #[inline]
    pub(crate) fn also(
        cx: &Context,
        listener: &'o ObserverSlot,
        name: &'static str,
        operations: usize,
    ) -> Self {
        let observer = &listener.observer;
        let own = observer.on_call_start(name);
        let cx = match (&cx.observer, &own) {
            (None, None) => Cow::Borrowed(listener.context(cx.consistency)),
            (others, own) => {
                let heard =
                    Fanout::of(others.as_ref(), Arc::clone(own.as_ref().unwrap_or(observer)));
                Cow::Owned(cx.clone().with_observer(heard))
            }
        };
        CallGuard::listen(cx, &**observer, own, name, operations)
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
        CallGuard { cx, observer, own, name, operations, failed, error, ended, start }
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

impl Drop for CallGuard<'_> {
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
