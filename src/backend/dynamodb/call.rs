//! One request: sent once, or again where that is safe, for as long as the caller is patient; and
//! told to the observer.

use super::api::{DynamoApi, DynamoResult};
use super::error::{DynamoError, Failed, What};
use super::watch::give_up;
use super::{BACKEND, Inner};
use crate::backend::Context;
use crate::backoff::ExponentialBackoff;
use crate::observe::{ConsumedCapacity, Observer, RoundTripGuard};
use crate::runtime::with_drivers;
use crate::{Error, ErrorKind};
use aws_sdk_dynamodb::operation as aws;
use aws_sdk_dynamodb::types::{self, ReturnConsumedCapacity};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Backoff after a conflict with another writer, which is done by then.
const CONFLICT_BACKOFF: ExponentialBackoff =
    ExponentialBackoff::new(Duration::from_millis(2), Duration::from_millis(100));

/// When a request may be sent again although the first one may have been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Always: it reads, or bears an idempotency token.
    Safe,
    /// Always, but not the same where the answer took too long: it reads, and can ask for less.
    Smaller,
    /// Never: it would be applied twice.
    Unsafe,
}

/// What a response says it has cost, and whether it is one.
pub(super) trait Consumed {
    const WRITES: bool;
    fn consumed(&self) -> &[types::ConsumedCapacity];
    /// Whether it bears what every response of its kind does. A `{}` from something else than
    /// DynamoDB is otherwise taken for one that has found nothing.
    fn is_whole(&self) -> bool;
}
macro_rules! consumed {
    ($($output:path, $writes:literal, $self:ident => $consumed:expr, $whole:expr;)*) => {$(
        impl Consumed for $output {
            const WRITES: bool = $writes;
            fn consumed(&$self) -> &[types::ConsumedCapacity] {
                $consumed
            }
            fn is_whole(&$self) -> bool {
                $whole
            }
        }
    )*};
}
consumed! {
    aws::get_item::GetItemOutput, false, self => self.consumed_capacity.as_slice(), true;
    aws::query::QueryOutput, false, self => self.consumed_capacity.as_slice(), true;
    aws::batch_get_item::BatchGetItemOutput, false, self => self.consumed_capacity(),
        self.responses.is_some() || self.unprocessed_keys.is_some();
    aws::transact_get_items::TransactGetItemsOutput, false, self => self.consumed_capacity(),
        self.responses.is_some();
    aws::put_item::PutItemOutput, true, self => self.consumed_capacity.as_slice(), true;
    aws::update_item::UpdateItemOutput, true, self => self.consumed_capacity.as_slice(), true;
    aws::delete_item::DeleteItemOutput, true, self => self.consumed_capacity.as_slice(), true;
    aws::batch_write_item::BatchWriteItemOutput, true, self => self.consumed_capacity(), true;
    aws::transact_write_items::TransactWriteItemsOutput, true, self => self.consumed_capacity(),
        true;
}

/// The time that a call has: it runs out when the call has made no progress for so long.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    timeout: Duration,
    /// When the last piece of it was done, in nanoseconds since `start`.
    progress: AtomicU64,
}

impl Clock {
    pub(super) fn start(db: &Inner) -> Self {
        Clock { start: Instant::now(), timeout: db.options.timeout, progress: AtomicU64::new(0) }
    }
    /// A piece of the call is done, and there is one less to do.
    fn made_progress(&self) {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.progress.fetch_max(now, Ordering::Relaxed);
    }
    /// `None` for never: a time too far away to be written down.
    fn deadline(&self) -> Option<Instant> {
        let progress = Duration::from_nanos(self.progress.load(Ordering::Relaxed));
        self.start.checked_add(progress)?.checked_add(self.timeout)
    }
}

/// One call of a user's, and the requests that it takes: they share what time there is.
#[derive(Clone, Copy)]
pub(super) struct Trip<'t> {
    pub(super) cx: &'t Context,
    pub(super) db: &'t Inner,
    clock: &'t Clock,
    /// How many requests it may send at once.
    pub(super) width: usize,
}

/// How often a request has been sent, or a write has lost to another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tries {
    made: u32,
    /// Whether one of them may have been applied, although its answer was an error.
    maybe_applied: bool,
}

impl Tries {
    pub(super) fn is_first(self) -> bool {
        self.made == 0
    }
    pub(super) fn count(&mut self) {
        self.made += 1;
    }
    /// The error that the last one of them ends with.
    pub(super) fn end(self, error: Error) -> Error {
        if self.maybe_applied { error.with_unknown_outcome() } else { error }
    }
}

impl<'t> Trip<'t> {
    pub(super) fn new(cx: &'t Context, db: &'t Inner, clock: &'t Clock) -> Self {
        Trip { cx, db, clock, width: db.options.concurrency }
    }
    /// Of a call in many pieces, one is done. The time that is left is for those that are not.
    pub(super) fn made_progress(&self) {
        self.clock.made_progress();
    }
    /// The same for one of many that run at once.
    pub(super) fn narrow(self) -> Self {
        Trip { width: 1, ..self }
    }
    pub(super) fn table(&self) -> &'t str {
        &self.db.table
    }
    /// Whom to ask for what a write depends on, and to write.
    pub(super) fn writer(&self) -> &'t dyn DynamoApi {
        &*self.db.writes
    }
    /// Whom to ask what a caller wants to read.
    pub(super) fn reader(&self) -> &'t dyn DynamoApi {
        &*self.db.reads
    }
    /// Whether, and how, the service is to tell what a request has cost.
    pub(super) fn capacity(&self) -> Option<ReturnConsumedCapacity> {
        self.cx.observer.as_ref().map(|_| ReturnConsumedCapacity::Indexes)
    }

    /// Sends a request until it is answered, or there is no point in it.
    pub(super) async fn send<T: Consumed>(
        &self,
        name: &'static str,
        again: Again,
        send: impl FnMut() -> DynamoResult<'t, T>,
    ) -> Result<T, DynamoError> {
        self.send_counting(name, again, send, &mut Tries::default()).await
    }
    /// The same for what has been tried before.
    pub(super) async fn send_counting<T: Consumed>(
        &self,
        name: &'static str,
        again: Again,
        mut send: impl FnMut() -> DynamoResult<'t, T>,
        tries: &mut Tries,
    ) -> Result<T, DynamoError> {
        loop {
            let error = match self.once(name, send()).await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let What::Failed(failed) = error.what() else { return Err(error) };
            tries.maybe_applied |= failed.maybe_applied;
            let worth = matches!(
                failed.kind,
                ErrorKind::Throttled
                    | ErrorKind::Unavailable
                    | ErrorKind::Timeout
                    | ErrorKind::Conflict
            );
            let allowed = match again {
                Again::Safe => true,
                Again::Smaller => failed.kind != ErrorKind::Timeout,
                Again::Unsafe => !failed.maybe_applied,
            };
            if !worth || !allowed || !self.pause(tries, failed.kind).await {
                return Err(error.having(tries.maybe_applied));
            }
        }
    }

    async fn once<T: Consumed>(
        &self,
        name: &'static str,
        answer: DynamoResult<'t, T>,
    ) -> Result<T, DynamoError> {
        let attempt = self.db.options.attempt_timeout;
        let deadline = self.clock.deadline();
        let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(DynamoError::timeout().map_failed(|failed| failed.maybe_applied = false));
        }
        let heard = RoundTripGuard::start(self.cx, BACKEND, name);
        let patience = left.map_or(attempt, |left| left.min(attempt));
        let mut answer = answer;
        let waiting = with_drivers(|| tokio::time::timeout(patience, &mut answer));
        let answer = match waiting.map_err(unsupported)?.await {
            Ok(Ok(output)) if !output.is_whole() => Err(DynamoError::unreadable()),
            Ok(answer) => answer,
            Err(_) => Err(give_up(answer)),
        };
        drop(heard);
        if let (Ok(output), Some(observer)) = (&answer, &self.cx.observer) {
            for consumed in output.consumed() {
                tell(&**observer, self.table(), T::WRITES, consumed);
            }
        }
        answer
    }

    /// Waits before a request is sent again; `false` if it has been sent often enough, or there is
    /// no time left.
    pub(super) async fn pause(&self, tries: &mut Tries, because: ErrorKind) -> bool {
        tries.made + 1 < self.db.options.attempts && self.outwait(tries, because).await
    }
    /// Waits before what a group has left unprocessed is sent again. Where some was processed, it
    /// is no further try.
    pub(super) async fn go_on(&self, tries: &mut Tries, has_progressed: bool) -> bool {
        if has_progressed {
            self.made_progress();
            *tries = Tries::default();
            return self.wait(1, ErrorKind::Throttled, self.db.options.backoff).await;
        }
        self.pause(tries, ErrorKind::Throttled).await
    }
    /// Waits for what will pass, however often it was tried; `false` if there is no time left.
    pub(super) async fn outwait(&self, tries: &mut Tries, because: ErrorKind) -> bool {
        tries.count();
        self.wait(tries.made, because, self.db.options.backoff).await
    }
    /// Waits before a write is tried again that has lost to another one; `false` if there is no
    /// time left. Whoever loses has lost to somebody who has got on, so that only time is a reason
    /// to give up.
    pub(super) async fn give_way(&self, tries: &mut Tries) -> bool {
        tries.count();
        self.wait(tries.made, ErrorKind::Conflict, CONFLICT_BACKOFF).await
    }

    async fn wait(&self, made: u32, because: ErrorKind, backoff: ExponentialBackoff) -> bool {
        let pause = backoff.full_jitter(made);
        // As far away as never, if it cannot be written down.
        let ends = Instant::now().checked_add(pause);
        let deadline = self.clock.deadline();
        if deadline.is_some_and(|deadline| ends.is_none_or(|ends| ends >= deadline)) {
            return false;
        }
        let Ok(sleep) = with_drivers(|| tokio::time::sleep(pause)) else { return false };
        if let Some(observer) = &self.cx.observer {
            observer.on_retry(Some(BACKEND), because);
        }
        sleep.await;
        true
    }
}

/// Tells what was consumed, index by index; what is no index's is the table's.
fn tell(observer: &dyn Observer, table: &str, writes: bool, consumed: &types::ConsumedCapacity) {
    let tell = |index, units| {
        let (read, write) = if writes { (0.0, units) } else { (units, 0.0) };
        if units > 0.0 {
            observer.on_capacity(BACKEND, &ConsumedCapacity { table, index, read, write });
        }
    };
    let mut left = consumed.capacity_units().unwrap_or(0.0);
    for (index, units) in consumed.local_secondary_indexes().into_iter().flatten() {
        let units = units.capacity_units().unwrap_or(0.0);
        tell(Some(index.as_str()), units);
        left -= units;
    }
    tell(None, left);
}

#[cold]
fn unsupported(error: Error) -> DynamoError {
    DynamoError::failed(Failed::new(error.kind(), error.to_string(), false))
}

impl DynamoError {
    /// The same of a request that was sent several times, and may have been applied one time or
    /// another.
    fn having(self, maybe_applied: bool) -> Self {
        self.map_failed(|failed| failed.maybe_applied |= maybe_applied)
    }
}

impl Trip<'_> {
    /// The error of a request that reads.
    pub(super) fn read_error(&self, error: DynamoError) -> Error {
        self.error(error, false)
    }
    /// The error of a request that writes.
    pub(super) fn write_error(&self, error: DynamoError) -> Error {
        self.error(error, true)
    }
    fn error(&self, error: DynamoError, writes: bool) -> Error {
        let message = error.told(self.table());
        let (what, source) = error.take();
        let (kind, unknown) = match what {
            What::Failed(Failed { kind, maybe_applied, .. }) => (kind, writes && maybe_applied),
            What::ConditionFailed(_) | What::Cancelled(..) => (ErrorKind::Other, false),
        };
        let mut error = Error::new(kind, message);
        if let Some(source) = source {
            error = error.with_source(source);
        }
        if unknown { error.with_unknown_outcome() } else { error }
    }
    /// The service throttles, as often as it was tried.
    pub(super) fn throttled(&self, what: &str) -> Error {
        Error::new(ErrorKind::Throttled, format!("{what} (table `{}`)", self.table()))
    }
}

/// Others were faster for as long as there was time.
pub(super) fn contention() -> Error {
    Error::new(ErrorKind::Conflict, "other writes got in the way for as long as there was time")
}
