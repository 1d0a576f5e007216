//! Transactions of the cluster, as the ordered layer has them.
//!
//! Reads that are issued together are under way together: a **wave**, which is what the observer
//! hears of, with the read version that the first one waits for. A transaction for reading alone
//! that has grown too old for the cluster goes on at a new state, page by page.

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

/// How often one page is asked for again at a newer state.
const MAX_RENEWALS: u32 = 10;

pub(super) struct Tx<'a> {
    engine: &'a Fdb,
    cx: &'a Context,
    access: Access,
    state: Mutex<State>,
}

struct State {
    /// Replaced by a newer one where a transaction for reading has grown old.
    transaction: Arc<foundationdb::Transaction>,
    changed: bool,
    /// The first error of the cluster, which its client knows how long to wait after.
    failed: Option<FdbError>,
    wave: Wave,
}

/// Reads that are under way.
#[derive(Default)]
struct Wave {
    reads: usize,
    start: Option<Instant>,
}

/// What is left of a transaction when its program has ended.
pub(super) struct FinishedTx {
    /// `None` if somebody still holds it, which nobody does.
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
            wave: Wave::default(),
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
    /// Reads of a transaction that will not commit need no conflict ranges.
    fn is_snapshot(&self, snapshot: bool) -> bool {
        snapshot || self.access != Access::Write
    }
    fn name(&self, row: &[u8]) -> Vec<u8> {
        [self.engine.prefix(), row].concat()
    }

    /// Makes a read, again at a newer state if the one it was at is too old.
    async fn read<T, F>(&self, read: impl Fn(&foundationdb::Transaction) -> F) -> Result<T>
    where
        F: Future<Output = FdbResult<T>>,
    {
        let _wave =
            self.cx.observer.as_deref().map(|observer| WaveGuard::join(&self.state, observer));
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
    /// Goes on at the newest state, unless another read has done so since `old` was taken.
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

/// One read of a wave. With the last one the observer is told.
struct WaveGuard<'t> {
    state: &'t Mutex<State>,
    observer: &'t dyn Observer,
}

impl<'t> WaveGuard<'t> {
    fn join(state: &'t Mutex<State>, observer: &'t dyn Observer) -> Self {
        let mut locked = state.lock().unwrap_or_else(PoisonError::into_inner);
        locked.wave.reads += 1;
        locked.wave.start.get_or_insert_with(Instant::now);
        WaveGuard { state, observer }
    }
}

impl Drop for WaveGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.wave.reads -= 1;
        let ended = if state.wave.reads == 0 { state.wave.start.take() } else { None };
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
