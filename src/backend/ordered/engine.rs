//! The contract of an engine: transactions over rows, which are pairs of byte strings, sorted by
//! name.
//!
//! The contract fits FoundationDB as well as a file. Everything is asynchronous. A program issues
//! its reads together where it can, and may run again after a conflict. Transactions are limited in
//! size and age.

use crate::backend::{Consistency, Context};
use crate::{Error, ErrorKind, Result};
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

/// An ordered, transactional key-value engine.
///
/// # Contract
///
/// - An attempt runs the program once, in one transaction. It returns once its changes are durable.
/// - Transactions are serializable. After a conflict nothing is applied. The engine waits for its
///   backoff and returns a [`retryable`](AttemptError::retryable) error. The layer above retries.
/// - If the commit may or may not have been applied, the error has an unknown outcome and is not
///   retryable.
/// - If a program fails, the changes that it has applied so far may be kept. A program that needs
///   all or nothing therefore applies its changes once, at its end.
pub(crate) trait Engine: Debug + Send + Sync + 'static {
    /// The engine's name in observers.
    const NAME: &'static str;

    /// State that is kept between the attempts of one program: the elapsed time, the backoff.
    type Session: Default + Send;

    fn limits(&self) -> EngineLimits;

    /// Runs `program` in one transaction.
    fn attempt<P: Program>(
        &self,
        cx: &Context,
        access: Access,
        program: &Arc<P>,
        session: &mut Self::Session,
    ) -> impl Future<Output = Result<P::Output, AttemptError>> + Send;
}

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct AttemptError {
    pub error: Error,
    /// Nothing was applied, and another attempt may succeed.
    pub retryable: bool,
    /// The transaction exceeded the maximum age. A smaller one may finish in time.
    pub too_old: bool,
}

/// The error of a program. A conflict is retryable.
impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        let retryable = error.kind() == ErrorKind::Conflict && !error.outcome_is_unknown();
        AttemptError { error, retryable, too_old: false }
    }
}

/// The limits of an engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineLimits {
    /// Bytes of the name of a row.
    pub max_name: usize,
    /// Bytes of the value of a row. Longer values are split into chunks.
    pub max_value: usize,
    /// Bytes that a transaction may change.
    pub max_transaction: usize,
    /// Rows that one [part](Program::parts) of a batch changes.
    pub max_part_rows: usize,
    /// Attempts before the caller gets the conflict.
    pub max_attempts: u32,
    /// Whether every operation checks the type of its key. If not, a blind write reads nothing, and
    /// a key of another type is treated as absent.
    pub checks_types: bool,
}

/// Whether a transaction reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read(Consistency),
    Write,
}

/// The body of a transaction. It may run more than once. Each run must be independent of earlier
/// ones.
pub(crate) trait Program: Debug + Send + Sync + 'static {
    type Output: Send + 'static;

    /// An upper bound of the rows that it reads; `usize::MAX` if unknown.
    fn max_rows(&self) -> usize;

    /// Whether it can be split into several smaller programs.
    fn is_divisible(&self) -> bool {
        false
    }

    fn run<T: Transaction>(&self, tx: &T) -> impl Future<Output = Result<Self::Output>> + Send;

    // If long transactions delay other callers, an engine runs a program part by part, and may
    // commit after each part. Most programs have one part.

    /// The approximate number of rows that each part changes.
    fn parts(&self) -> Vec<usize>;

    fn run_part<T: Transaction>(
        &self,
        tx: &T,
        _part: usize,
    ) -> impl Future<Output = Result<Self::Output>> + Send {
        self.run(tx)
    }

    /// Joins the results of the parts, one for each.
    fn join(&self, parts: Vec<Result<Self::Output>>) -> Result<Self::Output>;
}

/// The result of a program that has one part.
pub(super) fn only<T>(mut parts: Vec<Result<T>>) -> Result<T> {
    let none = || Err(Error::new(ErrorKind::Other, "a program was not run"));
    parts.pop().unwrap_or_else(none)
}

/// A view of all rows, and the changes to it.
///
/// # Contract
///
/// - Reads see one state, and the changes applied through the same transaction. One exception: a
///   read-only transaction that has aged may advance to a newer state between two calls, never
///   within one.
/// - Reads that are issued together take one round trip.
/// - A range is read page by page. A call visits some rows, and returns the last row if there may
///   be more.
pub(crate) trait Transaction: Send + Sync {
    /// Reads `row` and decodes its value.
    fn get<R: Send>(
        &self,
        row: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<R> + Send,
    ) -> impl Future<Output = Result<Option<R>>> + Send;

    /// Visits one page of `scan`.
    fn range(
        &self,
        scan: &Scan,
        visit: &mut Visit<'_>,
    ) -> impl Future<Output = Result<Option<Vec<u8>>>> + Send;

    /// The number of rows in `span`. Reads no values if the engine can avoid it.
    fn count(&self, span: &Span) -> impl Future<Output = Result<u64>> + Send;

    /// Makes the transaction conflict with any change of `row`, as if it had read it.
    fn add_read_conflict(&self, row: &[u8]) -> Result<()>;

    /// Whether the transaction may advance to a newer state between two calls.
    fn may_advance(&self) -> bool {
        false
    }

    /// Applies the changes in order.
    fn apply(&self, changes: Vec<Change>) -> Result<()>;
}

/// The rows from `begin` (inclusive) to `end` (exclusive).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub begin: Vec<u8>,
    pub end: Vec<u8>,
}

impl Span {
    pub(crate) fn is_empty(&self) -> bool {
        self.begin >= self.end
    }
}

/// Called with the name and the value of a row.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + Send + 'a;

/// A range of rows to visit.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub span: Span,
    pub reverse: bool,
    /// The maximum number of rows.
    pub limit: usize,
    /// A snapshot read: the transaction does not conflict with changes of these rows.
    pub snapshot: bool,
}

/// A change to the rows.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    /// Adds to a row of eight bytes, a little-endian integer; an absent row is 0. Two transactions
    /// that only add do not conflict. The caller makes sure that the sum does not overflow.
    Add(Vec<u8>, i64),
    /// Deletes all rows of a span.
    Clear(Span),
}

/// Visits all of `scan`, page by page.
pub(super) async fn visit_all<T: Transaction>(
    tx: &T,
    mut scan: Scan,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let mut left = scan.limit;
    while left > 0 && !scan.span.is_empty() {
        scan.limit = left;
        let last = tx
            .range(&scan, &mut |row, value| {
                left = left.saturating_sub(1);
                visit(row, value)
            })
            .await?;
        match last {
            None => break,
            Some(last) if scan.reverse => scan.span.end = last,
            Some(last) => scan.span.begin = after(last),
        }
    }
    Ok(())
}

/// The smallest name after `row`.
pub(super) fn after(mut row: Vec<u8>) -> Vec<u8> {
    row.push(0);
    row
}

/// Whether an error of one read ends the whole transaction.
pub(super) fn ends_transaction(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Conflict | ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Throttled
    )
}

/// The result of [`Change::Add`], for engines without an atomic addition.
pub(crate) fn added(row: Option<&[u8]>, by: i64) -> Vec<u8> {
    let now = row.and_then(|row| row.try_into().ok()).map_or(0, i64::from_le_bytes);
    now.wrapping_add(by).to_le_bytes().to_vec()
}
