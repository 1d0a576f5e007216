//! Guards that report calls and round trips to observers. A guard reports when it is dropped, so
//! the calls of cancelled futures are reported, too.

use super::{CallSummary, ConsumedCapacity, Observer};
use crate::context::{Consistency, Context};
use crate::op::Reply;
use crate::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Reports a round trip to the observer when it ends or is cancelled.
#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
pub(crate) struct RoundTripGuard<'c> {
    observer: &'c dyn Observer,
    backend: &'static str,
    request: &'static str,
    start: Instant,
}

#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
impl<'c> RoundTripGuard<'c> {
    /// `None` if there is no observer.
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

/// Forwards all events to two observers.
#[derive(Debug)]
pub(crate) struct Fanout(pub(crate) Arc<dyn Observer>, pub(crate) Arc<dyn Observer>);

impl Fanout {
    /// Adds an observer.
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

/// The observer of one layer of a stack, and the contexts for calls that have no other observer.
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

/// Measures a call from its start until this is dropped, which reports it to the observer.
pub(crate) struct CallGuard<'o> {
    /// The context for the layers below, with the observer. Borrowed unless the call has an
    /// observer of its own.
    pub(crate) cx: Cow<'o, Context>,
    observer: &'o dyn Observer,
    /// The separate observer of this call, from `on_call_start`.
    per_call: Option<Arc<dyn Observer>>,
    name: &'static str,
    operations: usize,
    failed: usize,
    error: Option<ErrorKind>,
    ended: bool,
    start: Instant,
}

impl<'o> CallGuard<'o> {
    /// For the observer that `cx` has already.
    #[inline]
    pub(crate) fn start(
        cx: &'o Context,
        observer: &'o dyn Observer,
        name: &'static str,
        operations: usize,
    ) -> Self {
        let per_call = observer.on_call_start(name);
        let cx = match &per_call {
            None => Cow::Borrowed(cx),
            Some(per_call) => Cow::Owned(cx.clone().with_observer(Arc::clone(per_call))),
        };
        CallGuard::new(cx, observer, per_call, name, operations)
    }
    /// For the observer of a layer, in addition to that of `cx`.
    #[inline]
    pub(crate) fn also(
        cx: &Context,
        slot: &'o ObserverSlot,
        name: &'static str,
        operations: usize,
    ) -> Self {
        let observer = &slot.observer;
        let per_call = observer.on_call_start(name);
        let cx = match (&cx.observer, &per_call) {
            (None, None) => Cow::Borrowed(slot.context(cx.consistency)),
            (outer, per_call) => {
                let inner = Arc::clone(per_call.as_ref().unwrap_or(observer));
                Cow::Owned(cx.clone().with_observer(Fanout::of(outer.as_ref(), inner)))
            }
        };
        CallGuard::new(cx, &**observer, per_call, name, operations)
    }
    #[inline]
    fn new(
        cx: Cow<'o, Context>,
        observer: &'o dyn Observer,
        per_call: Option<Arc<dyn Observer>>,
        name: &'static str,
        operations: usize,
    ) -> Self {
        let (failed, error, ended) = (0, None, false);
        let start = Instant::now();
        CallGuard { cx, observer, per_call, name, operations, failed, error, ended, start }
    }
    /// Records the result of a call.
    #[inline]
    pub(crate) fn end<T>(&mut self, result: &Result<T>) {
        self.ended = true;
        if let Err(e) = result {
            self.failed = self.operations;
            self.error = Some(e.kind());
        }
    }
    /// Records the results of a batch.
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
        self.per_call.as_deref().unwrap_or(self.observer).on_call_end(&call);
    }
}
