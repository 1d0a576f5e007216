//! A test double: an engine in memory with fault injection.
//!
//! It detects conflicts and injects more, splits values at tiny limits, advances the snapshot of a
//! reader, expires transactions, and loses the response to a commit. It counts concurrent reads.

use super::Ordered;
use super::engine::{
    Access, AttemptError, Change, Engine, EngineLimits, Program, Scan, Span, Transaction, Visit,
    added,
};
use crate::Outcome;
use crate::backend::{Backend, Context as Cx};
use crate::op::{Op, Read, Reply, Write};
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// The faults to inject. `Default` injects none.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "for the tests of this repository: hidden")]
pub struct Faults {
    /// Whether the engine checks the types of keys.
    pub typed: bool,
    /// Maximum bytes of the value of a row; at least 64.
    pub value: usize,
    /// Maximum bytes that a transaction changes.
    pub transaction: usize,
    /// Maximum rows of a page.
    pub page: usize,
    /// Every n-th commit fails with a conflict; 0 for never.
    pub conflict_every: u64,
    /// Every n-th commit is applied, and its response is lost; 0 for never.
    pub lose_every: u64,
    /// A read-only transaction advances to the newest state after every n reads; 0 for never.
    pub age: usize,
    /// A divisible writing transaction with more reads and changes than this is too old.
    pub lifetime: usize,
}

impl Faults {
    /// No faults.
    pub const NONE: Self = Faults {
        typed: false,
        value: usize::MAX,
        transaction: usize::MAX,
        page: usize::MAX,
        conflict_every: 0,
        lose_every: 0,
        age: 0,
        lifetime: usize::MAX,
    };
}

impl Default for Faults {
    fn default() -> Self {
        Faults::NONE
    }
}

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Default)]
struct State {
    /// Shared with the transactions that read it. The next commit copies it.
    table: Arc<Table>,
    version: u64,
    /// The rows that each commit changed, to detect conflicts.
    log: Vec<(u64, Vec<Span>)>,
    /// The number of open transactions by read version.
    open: BTreeMap<u64, usize>,
}

/// The engine.
#[derive(Debug)]
pub(crate) struct FaultyEngine {
    faults: Faults,
    state: Mutex<State>,
    commits: AtomicU64,
    in_flight: AtomicUsize,
    max_in_flight: AtomicUsize,
}

impl FaultyEngine {
    pub(crate) fn new(faults: Faults) -> Self {
        FaultyEngine {
            faults,
            state: Mutex::default(),
            commits: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            max_in_flight: AtomicUsize::new(0),
        }
    }
    /// The maximum number of concurrent reads so far.
    #[cfg(test)]
    pub(crate) fn max_concurrent_reads(&self) -> usize {
        self.max_in_flight.load(SeqCst)
    }
    /// The number of commits, including failed ones.
    #[cfg(test)]
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(SeqCst)
    }
    /// The number of rows.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> usize {
        self.lock().table.len()
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn every(n: u64, count: u64) -> bool {
        n > 0 && count.is_multiple_of(n)
    }

    fn commit(&self, tx: &Tx<'_>) -> Result<()> {
        let TxState { changes, read, .. } = std::mem::take(&mut *tx.lock());
        if changes.is_empty() {
            return Ok(());
        }
        let size: usize = changes.iter().map(size).sum();
        if size > self.faults.transaction {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("a transaction of {size} bytes; the limit is {}", self.faults.transaction),
            ));
        }
        let count = self.commits.fetch_add(1, SeqCst) + 1;
        let mut state = self.lock();
        let conflict = state.log.iter().any(|(version, spans)| {
            *version > tx.read_version && spans.iter().any(|w| read.iter().any(|r| overlap(w, r)))
        });
        if conflict || Self::every(self.faults.conflict_every, count) {
            return Err(Error::new(ErrorKind::Conflict, "a conflict with another transaction"));
        }
        state.version += 1;
        let version = state.version;
        state.log.push((version, changes.iter().map(span_of).collect()));
        let table = Arc::make_mut(&mut state.table);
        changes.into_iter().for_each(|change| apply_change(table, change));
        if Self::every(self.faults.lose_every, count) {
            return Err(
                Error::new(ErrorKind::Unavailable, "the response was lost").with_unknown_outcome()
            );
        }
        Ok(())
    }
}

impl Engine for FaultyEngine {
    const NAME: &'static str = "simulated";
    type Session = ();

    fn limits(&self) -> EngineLimits {
        EngineLimits {
            max_name: 10_000,
            max_value: self.faults.value,
            max_transaction: self.faults.transaction,
            max_part_rows: usize::MAX,
            max_attempts: 10_000,
            checks_types: self.faults.typed,
        }
    }

    async fn attempt<P: Program>(
        &self,
        _: &Cx,
        access: Access,
        program: &Arc<P>,
        (): &mut (),
    ) -> Result<P::Output, AttemptError> {
        let tx = Tx::begin(self, access);
        let result = program.run(&tx).await;
        let can_expire = access == Access::Write && program.is_divisible();
        if can_expire && tx.lock().age() > self.faults.lifetime {
            let error = Error::new(ErrorKind::Conflict, "the transaction is too old");
            return Err(AttemptError { error, retryable: true, too_old: true });
        }
        let output = result?;
        self.commit(&tx)?;
        Ok(output)
    }
}

/// The snapshot, the read rows and the changes of a transaction.
#[derive(Debug, Default)]
struct TxState {
    table: Arc<Table>,
    reads: usize,
    read: Vec<Span>,
    changes: Vec<Change>,
    /// The number of changes that are applied to `table`. Most transactions never read their own
    /// changes, and need no copy.
    in_table: usize,
}

impl TxState {
    /// Reads and changes count as elapsed time.
    fn age(&self) -> usize {
        self.reads + self.changes.len()
    }
    fn table(&mut self) -> Arc<Table> {
        if self.in_table < self.changes.len() {
            let table = Arc::make_mut(&mut self.table);
            let new = self.changes[self.in_table..].iter().cloned();
            new.for_each(|change| apply_change(table, change));
            self.in_table = self.changes.len();
        }
        self.table.clone()
    }
}

struct Tx<'e> {
    engine: &'e FaultyEngine,
    access: Access,
    read_version: u64,
    state: Mutex<TxState>,
}

impl<'e> Tx<'e> {
    fn begin(engine: &'e FaultyEngine, access: Access) -> Self {
        let mut state = engine.lock();
        let (table, read_version) = (state.table.clone(), state.version);
        *state.open.entry(read_version).or_default() += 1;
        let state = Mutex::new(TxState { table, ..TxState::default() });
        Tx { engine, access, read_version, state }
    }
    fn lock(&self) -> MutexGuard<'_, TxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Starts every read. Yields to the executor once, so that reads that are issued together
    /// overlap. Ages the transaction, and adds a read conflict on `span`.
    async fn start_read(&self, span: Option<Span>) -> Arc<Table> {
        let engine = self.engine;
        let now = engine.in_flight.fetch_add(1, SeqCst) + 1;
        engine.max_in_flight.fetch_max(now, SeqCst);
        Yield(false).await;
        engine.in_flight.fetch_sub(1, SeqCst);
        let mut state = self.lock();
        state.reads += 1;
        state.read.extend(span);
        let old = engine.faults.age > 0 && state.reads.is_multiple_of(engine.faults.age);
        if old && self.access != Access::Write {
            state.table = engine.lock().table.clone();
        }
        state.table()
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        let mut state = self.engine.lock();
        if let Some(open) = state.open.get_mut(&self.read_version) {
            *open -= 1;
            if *open == 0 {
                state.open.remove(&self.read_version);
            }
        }
        let oldest = state.open.keys().next().copied().unwrap_or(u64::MAX);
        state.log.retain(|(version, _)| *version > oldest);
    }
}

/// Yields to the executor once.
struct Yield(bool);

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
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
        let table = self.start_read(Some(only_row(row))).await;
        table.get(row).map(|value| decode(value)).transpose()
    }
    async fn range(&self, scan: &Scan, visit: &mut Visit<'_>) -> Result<Option<Vec<u8>>> {
        let table = self.start_read((!scan.snapshot).then(|| scan.span.clone())).await;
        let page = self.engine.faults.page.min(scan.limit);
        let mut rows = rows_in(&table, &scan.span);
        let mut last = None;
        for _ in 0..page {
            let Some((row, value)) = (if scan.reverse { rows.next_back() } else { rows.next() })
            else {
                return Ok(None);
            };
            visit(row, value)?;
            last = Some(row.clone());
        }
        Ok(last)
    }
    async fn count(&self, span: &Span) -> Result<u64> {
        let table = self.start_read(Some(span.clone())).await;
        Ok(rows_in(&table, span).count() as u64)
    }
    fn add_read_conflict(&self, row: &[u8]) -> Result<()> {
        self.lock().read.push(only_row(row));
        Ok(())
    }
    fn apply(&self, changes: Vec<Change>) -> Result<()> {
        if let Some(Change::Put(_, value)) = changes.iter().find(
            |change| matches!(change, Change::Put(_, v) if v.len() > self.engine.faults.value),
        ) {
            return Err(Error::new(ErrorKind::TooLarge, format!("a row of {}", value.len())));
        }
        self.lock().changes.extend(changes);
        Ok(())
    }
}

fn rows_in<'t>(
    table: &'t Table,
    span: &Span,
) -> impl DoubleEndedIterator<Item = (&'t Vec<u8>, &'t Vec<u8>)> + use<'t> {
    let ends = (Bound::Included(&span.begin[..]), Bound::Excluded(&span.end[..]));
    let rows = (!span.is_empty()).then(|| table.range::<[u8], _>(ends));
    rows.into_iter().flatten()
}

fn apply_change(table: &mut Table, change: Change) {
    match change {
        Change::Put(row, value) => {
            table.insert(row, value);
        }
        Change::Delete(row) => {
            table.remove(&row);
        }
        Change::Add(row, by) => {
            let sum = added(table.get(&row).map(|value| &value[..]), by);
            table.insert(row, sum);
        }
        Change::Clear(span) => {
            let rows: Vec<_> = rows_in(table, &span).map(|(row, _)| row.clone()).collect();
            rows.iter().for_each(|row| {
                table.remove(row);
            });
        }
    }
}

fn only_row(row: &[u8]) -> Span {
    Span { begin: row.to_vec(), end: super::engine::after(row.to_vec()) }
}
fn span_of(change: &Change) -> Span {
    match change {
        Change::Put(row, _) | Change::Delete(row) | Change::Add(row, _) => only_row(row),
        Change::Clear(span) => span.clone(),
    }
}
fn size(change: &Change) -> usize {
    match change {
        Change::Put(row, value) => row.len() + value.len(),
        Change::Delete(row) => row.len(),
        Change::Add(row, _) => row.len() + 8,
        Change::Clear(span) => span.begin.len() + span.end.len(),
    }
}
fn overlap(a: &Span, b: &Span) -> bool {
    a.begin < b.end && b.begin < a.end
}

/// The ordered layer over the engine.
#[derive(Debug)]
pub struct SimulatedBackend(Ordered<FaultyEngine>);

impl SimulatedBackend {
    /// With these faults.
    pub fn new(faults: Faults) -> Self {
        SimulatedBackend(Ordered::new(FaultyEngine::new(faults)))
    }
}

impl Backend for SimulatedBackend {
    async fn read(&self, cx: &Cx, op: &Read) -> Result<Reply> {
        self.0.read(cx, op).await
    }
    async fn write(&self, cx: &Cx, op: &Write) -> Result<Reply> {
        self.0.write(cx, op).await
    }
    async fn batch(&self, cx: &Cx, ops: &[Op]) -> Vec<Result<Reply>> {
        self.0.batch(cx, ops).await
    }
    async fn transact(&self, cx: &Cx, writes: &[Write]) -> Result<Outcome> {
        self.0.transact(cx, writes).await
    }
}
