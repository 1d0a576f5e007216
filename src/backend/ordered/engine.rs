//! What an engine must provide: transactions over rows, which are byte strings in order.
//!
//! Written for FoundationDB as much as for a file: everything is asynchronous, a program issues its
//! reads together where it can, it may be run again after a conflict, and transactions have a size
//! and an age.

use crate::backend::{Consistency, Context};
use crate::{Error, ErrorKind, Result};
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

/// An ordered, transactional key-value engine.
///
/// # Contract
///
/// - An attempt runs the program once, in one transaction, and answers only when its changes are
///   durable.
/// - Transactions are serializable. If others got in the way, the attempt is not applied and
///   answers that it may be made [again](AttemptError::again), having waited as long as it thinks right;
///   the layer above makes it.
/// - If the commit may or may not have been applied, the error has an unknown outcome, and there is
///   no again.
/// - A program that answers an error is not applied, except for what it had applied before without
///   error: programs that need all or nothing apply once, at their end.
pub(crate) trait Engine: Debug + Send + Sync + 'static {
    /// Its name for observers.
    const NAME: &'static str;

    /// What is kept from one attempt to the next of the same program: how long it may take, how
    /// long to wait.
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

/// Why an attempt has failed.
#[derive(Debug)]
pub(crate) struct AttemptError {
    pub error: Error,
    /// Nothing was applied, and another attempt may succeed.
    pub retryable: bool,
    /// The transaction took longer than one may: less at once may be quick enough.
    pub too_old: bool,
}

/// An error of a program: a conflict is worth another attempt.
impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        let retryable = error.kind() == ErrorKind::Conflict && !error.outcome_is_unknown();
        AttemptError { error, retryable, too_old: false }
    }
}

/// What an engine cannot exceed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineLimits {
    /// The most bytes of a row's name.
    pub max_name: usize,
    /// The most bytes of a row's value; longer values are split.
    pub max_value: usize,
    /// The most bytes that a transaction can change.
    pub max_transaction: usize,
    /// The most rows of a batch in one of its [parts](Program::parts).
    pub max_part_rows: usize,
    /// How often an attempt may conflict before the caller is told.
    pub max_attempts: u32,
    /// Whether every use of a key as another type is looked for and refused. Otherwise writes that
    /// ask for nothing read nothing, and such a key is as though absent.
    pub checks_types: bool,
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read(Consistency),
    Write,
}

/// What is done in a transaction. It may be run more than once, and sees no trace of an earlier
/// run.
pub(crate) trait Program: Debug + Send + Sync + 'static {
    type Output: Send + 'static;

    /// The most rows that it reads, as far as that is known beforehand.
    fn max_rows(&self) -> usize;

    /// Whether it can be run as several smaller programs.
    fn is_divisible(&self) -> bool {
        false
    }

    fn run<T: Transaction>(&self, tx: &T) -> impl Future<Output = Result<Self::Output>> + Send;

    // An engine on which a long transaction holds up others runs a program by its parts, and may
    // commit between any two. Most programs are one part.

    /// About how many rows each of its parts changes.
    fn parts(&self) -> Vec<usize>;

    fn run_part<T: Transaction>(
        &self,
        tx: &T,
        _part: usize,
    ) -> impl Future<Output = Result<Self::Output>> + Send {
        self.run(tx)
    }

    /// What the parts have answered, together. There is one for each.
    fn join(&self, parts: Vec<Result<Self::Output>>) -> Result<Self::Output>;
}

/// What a program of one part has answered.
pub(super) fn only<T>(mut parts: Vec<Result<T>>) -> Result<T> {
    let none = || Err(Error::new(ErrorKind::Other, "a program was not run"));
    parts.pop().unwrap_or_else(none)
}

/// A view of all rows, and the changes to it.
///
/// # Contract
///
/// - Reads see one state and the changes applied through the same transaction. One exception: a
///   transaction for reading that has grown old may go over to a newer state between two calls,
///   never within one.
/// - Reads may be issued together, and then are one round trip.
/// - A range is visited page by page: a call visits some rows and answers the last one if there may
///   be more.
pub(crate) trait Transaction: Send + Sync {
    /// What `decode` makes of the value of `row`.
    fn get<R: Send>(
        &self,
        row: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<R> + Send,
    ) -> impl Future<Output = Result<Option<R>>> + Send;

    /// Visits a page of `scan`.
    fn range(
        &self,
        scan: &Scan,
        visit: &mut Visit<'_>,
    ) -> impl Future<Output = Result<Option<Vec<u8>>>> + Send;

    /// How many rows are in `span`. Reads no values, where the engine can help it.
    fn count(&self, span: &Span) -> impl Future<Output = Result<u64>> + Send;

    /// Makes the transaction conflict with whoever changes `row`, as though it had been read.
    fn add_read_conflict(&self, row: &[u8]) -> Result<()>;

    /// Whether it may go over to a newer state between two calls.
    fn may_advance(&self) -> bool {
        false
    }

    /// Changes rows, in the order given.
    fn apply(&self, changes: Vec<Change>) -> Result<()>;
}

/// The rows from `begin` to before `end`.
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

/// Told the name and the value of a row.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + Send + 'a;

/// Which rows to visit.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub span: Span,
    pub reverse: bool,
    /// The most rows to visit.
    pub limit: usize,
    /// Only to look: the transaction does not conflict with whoever changes what is seen.
    pub snapshot: bool,
}

/// One change to the rows.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    /// Adds to a row of eight bytes, an integer with the lowest byte first; none is 0. Whoever does
    /// no more than that conflicts with nobody who does the same. The sum is known to fit.
    Add(Vec<u8>, i64),
    /// Deletes every row of a span, however many there are.
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

/// The least row after `row`.
pub(super) fn after(mut row: Vec<u8>) -> Vec<u8> {
    row.push(0);
    row
}

/// Whether an error of one read means that the whole transaction has to be given up.
pub(super) fn ends_transaction(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Conflict | ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Throttled
    )
}

/// What [`Change::Add`] makes of the value of a row, for engines that do not know how.
pub(crate) fn added(row: Option<&[u8]>, by: i64) -> Vec<u8> {
    let now = row.and_then(|row| row.try_into().ok()).map_or(0, i64::from_le_bytes);
    now.wrapping_add(by).to_le_bytes().to_vec()
}
