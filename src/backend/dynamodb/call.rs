//! [`RequestContext`] sends the requests of one call of the user: it applies timeouts, retries
//! with backoff where that is safe, and reports to the observer.

use super::api::DynamoApi;
use super::error::{DynamoError, DynamoErrorKind, DynamoResult, Failure};
use super::options::DynamoDbOptions;
use super::response::{DynamoResponse, report_capacity};
use super::send_tracker::cancel_request;
use crate::backend::Context;
use crate::backoff::ExponentialBackoff;
use crate::observe::RoundTripGuard;
use crate::runtime::with_drivers;
use crate::{Error, ErrorKind};
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const BACKEND: &str = "dynamodb";

/// The backoff after a conflict with another write, which takes milliseconds.
const CONFLICT_BACKOFF: ExponentialBackoff =
    ExponentialBackoff::new(Duration::from_millis(2), Duration::from_millis(100));

/// A table, the clients that reach it, and the options.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) reads: Arc<dyn DynamoApi>,
    pub(super) writes: Arc<dyn DynamoApi>,
    pub(super) options: DynamoDbOptions,
}

/// Whether a request may be sent again although the first one may have been applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idempotent {
    /// It reads, or has an idempotency token.
    Yes,
    /// It reads. After a timeout the caller sends a smaller request instead.
    WithFewerItems,
    /// It would be applied twice.
    No,
}

/// The deadline of a call. It moves with the progress that the call makes.
#[derive(Debug)]
pub(super) struct ProgressDeadline {
    start: Instant,
    timeout: Duration,
    /// When the call last made progress, in nanoseconds since `start`.
    progress: AtomicU64,
}

impl ProgressDeadline {
    pub(super) fn start(table: &Table) -> Self {
        let timeout = table.options.timeout;
        ProgressDeadline { start: Instant::now(), timeout, progress: AtomicU64::new(0) }
    }
    fn made_progress(&self) {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.progress.fetch_max(now, Ordering::Relaxed);
    }
    /// `None` if the timeout is too long for an `Instant`: never.
    fn instant(&self) -> Option<Instant> {
        let progress = Duration::from_nanos(self.progress.load(Ordering::Relaxed));
        self.start.checked_add(progress)?.checked_add(self.timeout)
    }
}

/// One call of the user. All requests that it needs share its deadline.
#[derive(Clone, Copy)]
pub(super) struct RequestContext<'t> {
    pub(super) context: &'t Context,
    table: &'t Table,
    deadline: &'t ProgressDeadline,
    /// The maximum number of requests in flight.
    pub(super) max_concurrency: usize,
}

/// How many attempts of a request, or of a write that conflicts with others, have failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempts {
    failed: u32,
    /// Whether one of them may have been applied although it failed.
    maybe_applied: bool,
}

impl Attempts {
    pub(super) fn is_first(self) -> bool {
        self.failed == 0
    }
    pub(super) fn count(&mut self) {
        self.failed += 1;
    }
    /// Adds the unknown outcome of an earlier attempt to the error of the last one.
    pub(super) fn final_error(self, error: Error) -> Error {
        if self.maybe_applied { error.with_unknown_outcome() } else { error }
    }
}

impl<'t> RequestContext<'t> {
    pub(super) fn new(
        context: &'t Context,
        table: &'t Table,
        deadline: &'t ProgressDeadline,
    ) -> Self {
        let max_concurrency = table.options.max_concurrency;
        RequestContext { context, table, deadline, max_concurrency }
    }
    /// A part of the call is done. The rest of it gets the whole timeout again.
    pub(super) fn made_progress(&self) {
        self.deadline.made_progress();
    }
    /// The context of an operation that runs concurrently with others of the same call.
    pub(super) fn sequential(self) -> Self {
        RequestContext { max_concurrency: 1, ..self }
    }
    pub(super) fn table(&self) -> &'t str {
        &self.table.name
    }
    /// The client for writes, and for reads that a write depends on.
    pub(super) fn writer(&self) -> &'t dyn DynamoApi {
        &*self.table.writes
    }
    /// The client for the reads of the user.
    pub(super) fn reader(&self) -> &'t dyn DynamoApi {
        &*self.table.reads
    }
    /// Asks for the consumed capacity if there is an observer.
    pub(super) fn return_capacity(&self) -> Option<ReturnConsumedCapacity> {
        self.context.observer.as_ref().map(|_| ReturnConsumedCapacity::Indexes)
    }

    /// Sends a request, and retries it with backoff while that is safe and can help.
    pub(super) async fn send<T: DynamoResponse>(
        &self,
        name: &'static str,
        idempotent: Idempotent,
        send: impl FnMut() -> DynamoResult<'t, T>,
    ) -> Result<T, DynamoError> {
        self.send_counted(name, idempotent, send, &mut Attempts::default()).await
    }
    /// Like [`send`](Self::send), for a request with earlier attempts.
    pub(super) async fn send_counted<T: DynamoResponse>(
        &self,
        name: &'static str,
        idempotent: Idempotent,
        mut send: impl FnMut() -> DynamoResult<'t, T>,
        attempts: &mut Attempts,
    ) -> Result<T, DynamoError> {
        loop {
            let error = match self.send_once(name, send()).await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let DynamoErrorKind::CallFailed(failure) = error.kind() else { return Err(error) };
            attempts.maybe_applied |= failure.maybe_applied;
            if !may_retry(failure, idempotent) || !self.backoff(attempts, failure.kind).await {
                return Err(error.or_maybe_applied(attempts.maybe_applied));
            }
        }
    }

    async fn send_once<T: DynamoResponse>(
        &self,
        name: &'static str,
        mut response: DynamoResult<'t, T>,
    ) -> Result<T, DynamoError> {
        let deadline = self.deadline.instant();
        let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(DynamoError::timeout().map_failure(|failure| failure.maybe_applied = false));
        }
        let guard = RoundTripGuard::start(self.context, BACKEND, name);
        let attempt_timeout = self.table.options.attempt_timeout;
        let timeout = left.map_or(attempt_timeout, |left| left.min(attempt_timeout));
        let waiting = with_drivers(|| tokio::time::timeout(timeout, &mut response));
        let result = match waiting.map_err(unsupported)?.await {
            Ok(Ok(output)) if !output.is_complete() => Err(DynamoError::unreadable()),
            Ok(result) => result,
            Err(_) => Err(cancel_request(response)),
        };
        drop(guard);
        if let (Ok(output), Some(observer)) = (&result, &self.context.observer) {
            report_capacity(output, &**observer, BACKEND, self.table());
        }
        result
    }

    /// Waits before a request is retried. `false` if no attempt or no time is left.
    pub(super) async fn backoff(&self, attempts: &mut Attempts, because: ErrorKind) -> bool {
        attempts.failed + 1 < self.table.options.max_attempts
            && self.backoff_without_limit(attempts, because).await
    }
    /// Waits before the unprocessed items of a group are sent again. If some items were processed,
    /// the next request counts as a first attempt.
    pub(super) async fn backoff_after_partial(
        &self,
        attempts: &mut Attempts,
        made_progress: bool,
    ) -> bool {
        if made_progress {
            self.made_progress();
            *attempts = Attempts::default();
            return self.sleep(1, ErrorKind::Throttled, self.table.options.backoff).await;
        }
        self.backoff(attempts, ErrorKind::Throttled).await
    }
    /// Waits before a retry, whatever the number of attempts. `false` if no time is left.
    pub(super) async fn backoff_without_limit(
        &self,
        attempts: &mut Attempts,
        because: ErrorKind,
    ) -> bool {
        attempts.count();
        self.sleep(attempts.failed, because, self.table.options.backoff).await
    }
    /// Waits before a write that conflicted with another one is retried. `false` if no time is
    /// left. Attempts are not limited: each conflict means that another write has succeeded.
    pub(super) async fn backoff_after_conflict(&self, attempts: &mut Attempts) -> bool {
        attempts.count();
        self.sleep(attempts.failed, ErrorKind::Conflict, CONFLICT_BACKOFF).await
    }

    async fn sleep(&self, retry: u32, because: ErrorKind, backoff: ExponentialBackoff) -> bool {
        let delay = backoff.full_jitter(retry);
        // `None` is later than every deadline.
        let end = Instant::now().checked_add(delay);
        let deadline = self.deadline.instant();
        if deadline.is_some_and(|deadline| end.is_none_or(|end| end >= deadline)) {
            return false;
        }
        let Ok(sleep) = with_drivers(|| tokio::time::sleep(delay)) else { return false };
        if let Some(observer) = &self.context.observer {
            observer.on_retry(Some(BACKEND), because);
        }
        sleep.await;
        true
    }
}

fn may_retry(failure: &Failure, idempotent: Idempotent) -> bool {
    use ErrorKind::{Conflict, Throttled, Timeout, Unavailable};
    let can_help = matches!(failure.kind, Throttled | Unavailable | Timeout | Conflict);
    let is_safe = match idempotent {
        Idempotent::Yes => true,
        Idempotent::WithFewerItems => failure.kind != Timeout,
        Idempotent::No => !failure.maybe_applied,
    };
    can_help && is_safe
}

#[cold]
fn unsupported(error: Error) -> DynamoError {
    DynamoError::from_failure(Failure::new(error.kind(), error.to_string(), false))
}

impl DynamoError {
    /// Adds that an earlier attempt may have been applied.
    fn or_maybe_applied(self, maybe_applied: bool) -> Self {
        self.map_failure(|failure| failure.maybe_applied |= maybe_applied)
    }
}

impl RequestContext<'_> {
    /// The error of a request that reads.
    pub(super) fn read_error(&self, error: DynamoError) -> Error {
        self.error(error, false)
    }
    /// The error of a request that writes.
    pub(super) fn write_error(&self, error: DynamoError) -> Error {
        self.error(error, true)
    }
    fn error(&self, error: DynamoError, writes: bool) -> Error {
        let message = error.describe(self.table());
        let (kind, source) = error.into_parts();
        let (kind, is_unknown) = match kind {
            DynamoErrorKind::CallFailed(failure) => (failure.kind, writes && failure.maybe_applied),
            DynamoErrorKind::ConditionFailed(_) | DynamoErrorKind::TransactionCancelled { .. } => {
                (ErrorKind::Other, false)
            }
        };
        let mut error = Error::new(kind, message);
        if let Some(source) = source {
            error = error.with_source(source);
        }
        if is_unknown { error.with_unknown_outcome() } else { error }
    }
    /// The service still throttles after the last attempt.
    pub(super) fn throttled(&self, message: &str) -> Error {
        Error::new(ErrorKind::Throttled, format!("{message} (table `{}`)", self.table()))
    }
}

/// A write conflicted with others until its deadline.
pub(super) fn contention() -> Error {
    Error::new(ErrorKind::Conflict, "the write conflicted with other writes until its deadline")
}
