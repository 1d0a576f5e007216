//! A transaction of the cluster, as the ordered layer uses it.
//!
//! Reads that are issued together are in flight together. The observer gets one `read` round trip
//! for all of them, including the read version. If the snapshot of a read-only transaction is too
//! old for the cluster, it continues at a newer one, page by page.

use super::NAME;
use super::database::Fdb;
use super::errors::{TRANSACTION_TOO_OLD, translate};
use crate::Result;
use crate::backend::Context;
use crate::backend::ordered::{Access, Change, Scan, Span, Transaction, Visit};
use crate::observe::Observer;
use foundationdb::future::FdbValues;
use foundationdb::options::{ConflictRangeType, MutationType, StreamingMode};
use foundationdb::{FdbError, FdbResult, KeySelector, RangeOption};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How often one page is retried at a newer snapshot.
const MAX_RENEWALS: u32 = 10;

pub(super) struct Tx<'a> {
    engine: &'a Fdb,
    cx: &'a Context,
    access: Access,
    state: Mutex<State>,
}

struct State {
    /// Replaced if the snapshot of a read-only transaction is too old.
    transaction: Arc<foundationdb::Transaction>,
    changed: bool,
    /// The first error. The client derives the backoff from it.
    failed: Option<FdbError>,
    reads: ReadsInFlight,
}

/// The reads in flight, observed as one round trip.
#[derive(Default)]
struct ReadsInFlight {
    count: usize,
    start: Option<Instant>,
}

/// The state of a transaction after its program has ended.
pub(super) struct FinishedTx {
    /// `None` if a future of the program still holds it, which is a bug.
    pub(super) transaction: Option<foundationdb::Transaction>,
    pub(super) changed: bool,
    pub(super) failed: Option<FdbError>,
}

impl<'a> Tx<'a> {
    pub(super) fn new(
        engine: &'a Fdb,
        cx: &'a Context,
        access: Access,
        transaction: foundationdb::Transaction,
    ) -> Self {
        let state = State {
            transaction: Arc::new(transaction),
            changed: false,
            failed: None,
            reads: ReadsInFlight::default(),
        };
        Tx { engine, cx, access, state: Mutex::new(state) }
    }
    pub(super) fn finish(self) -> FinishedTx {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let transaction = Arc::into_inner(state.transaction);
        FinishedTx { transaction, changed: state.changed, failed: state.failed }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn transaction(&self) -> Arc<foundationdb::Transaction> {
        self.lock().transaction.clone()
    }
    /// A transaction that does not commit needs no read conflict ranges.
    fn is_snapshot(&self, snapshot: bool) -> bool {
        snapshot || self.access != Access::Write
    }
    fn name(&self, row: &[u8]) -> Vec<u8> {
        [self.engine.prefix(), row].concat()
    }

    /// Reads. If the snapshot of a reader is too old, retries at a newer one.
    async fn read<T, F>(&self, read: impl Fn(&foundationdb::Transaction) -> F) -> Result<T>
    where
        F: Future<Output = FdbResult<T>>,
    {
        let _guard =
            self.cx.observer.as_deref().map(|observer| ReadGuard::join(&self.state, observer));
        let mut renewals = 0;
        loop {
            let transaction = self.transaction();
            let error = match read(&transaction).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let old = error.code() == TRANSACTION_TOO_OLD && self.access != Access::Write;
            if !old || renewals == MAX_RENEWALS {
                self.lock().failed.get_or_insert(error);
                return Err(translate(error));
            }
            renewals += 1;
            self.renew(&transaction)?;
        }
    }
    /// Replaces the snapshot, unless another read has already replaced `old`.
    fn renew(&self, old: &Arc<foundationdb::Transaction>) -> Result<()> {
        let mut state = self.lock();
        if Arc::ptr_eq(&state.transaction, old) {
            state.transaction = Arc::new(self.engine.begin(self.access, usize::MAX)?);
        }
        Ok(())
    }

    async fn page(
        &self,
        span: &Span,
        limit: Option<usize>,
        reverse: bool,
        snapshot: bool,
    ) -> Result<FdbValues> {
        let (begin, end) = (self.name(&span.begin), self.name(&span.end));
        let option = RangeOption {
            begin: KeySelector::first_greater_or_equal(begin),
            end: KeySelector::first_greater_or_equal(end),
            limit,
            mode: StreamingMode::WantAll,
            reverse,
            ..RangeOption::default()
        };
        self.read(|transaction| transaction.get_range(&option, 1, snapshot)).await
    }
}

/// Counts a read in flight. The last one reports the round trip.
struct ReadGuard<'t> {
    state: &'t Mutex<State>,
    observer: &'t dyn Observer,
}

impl<'t> ReadGuard<'t> {
    fn join(state: &'t Mutex<State>, observer: &'t dyn Observer) -> Self {
        let mut locked = state.lock().unwrap_or_else(PoisonError::into_inner);
        locked.reads.count += 1;
        locked.reads.start.get_or_insert_with(Instant::now);
        ReadGuard { state, observer }
    }
}

impl Drop for ReadGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reads.count -= 1;
        let ended = if state.reads.count == 0 { state.reads.start.take() } else { None };
        drop(state);
        if let Some(start) = ended {
            self.observer.on_round_trip(NAME, "read", start.elapsed());
        }
    }
}

impl Transaction for Tx<'_> {
    fn may_advance(&self) -> bool {
        self.access != Access::Write
    }
    async fn get<R: Send>(
        &self,
        row: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<R> + Send,
    ) -> Result<Option<R>> {
        let (row, snapshot) = (self.name(row), self.is_snapshot(false));
        let value = self.read(|transaction| transaction.get(&row, snapshot)).await?;
        value.map(|value| decode(&value)).transpose()
    }

    async fn range(&self, scan: &Scan, visit: &mut Visit<'_>) -> Result<Option<Vec<u8>>> {
        let limit = (scan.limit < i32::MAX as usize).then_some(scan.limit);
        let snapshot = self.is_snapshot(scan.snapshot);
        let page = self.page(&scan.span, limit, scan.reverse, snapshot).await?;
        let prefix = self.engine.prefix().len();
        let mut last = None;
        for row in page.iter() {
            let name = row.key().get(prefix..).unwrap_or_default();
            visit(name, row.value())?;
            last = Some(name);
        }
        Ok(last.filter(|_| page.more() && page.len() < scan.limit).map(<[u8]>::to_vec))
    }

    async fn count(&self, span: &Span) -> Result<u64> {
        let (mut span, mut count) = (span.clone(), 0);
        loop {
            let page = self.page(&span, None, false, self.is_snapshot(false)).await?;
            count += page.len() as u64;
            match page.last() {
                Some(last) if page.more() => {
                    let name = last.key().get(self.engine.prefix().len()..).unwrap_or_default();
                    span.begin = [name, &[0]].concat();
                }
                _ => return Ok(count),
            }
        }
    }

    fn add_read_conflict(&self, row: &[u8]) -> Result<()> {
        let begin = self.name(row);
        let end = [&begin[..], &[0]].concat();
        let guarded = self.transaction().add_conflict_range(&begin, &end, ConflictRangeType::Read);
        guarded.map_err(translate)
    }

    fn apply(&self, changes: Vec<Change>) -> Result<()> {
        let transaction = {
            let mut state = self.lock();
            state.changed |= !changes.is_empty();
            state.transaction.clone()
        };
        for change in changes {
            match change {
                Change::Put(row, value) => transaction.set(&self.name(&row), &value),
                Change::Delete(row) => transaction.clear(&self.name(&row)),
                Change::Add(row, by) => {
                    transaction.atomic_op(&self.name(&row), &by.to_le_bytes(), MutationType::Add);
                }
                Change::Clear(span) => {
                    transaction.clear_range(&self.name(&span.begin), &self.name(&span.end));
                }
            }
        }
        Ok(())
    }
}
