//! Transactions over a redb table of rows.
//!
//! They wait for nothing except the disk, so every future is ready at its first poll.

use super::background_delete::{self, HIDDEN, Rows};
use super::errors::{self, storage};
use crate::backend::ordered::{Change, Scan, Span, Transaction, Visit, added};
use crate::{Error, ErrorKind, Result};
use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableError, WriteTransaction,
};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("keyvaluestore");
/// The version of the row layout. A change that older versions cannot read takes a new number.
pub(super) const FORMAT: u64 = 2;

/// Well below redb's limit of 3 GiB.
const MAX_VALUE_LEN: usize = 1 << 30;

fn ends(span: &Span) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Included(&span.begin), Bound::Excluded(&span.end))
}

/// Rows without the hidden ones.
struct View<'a, R, H> {
    rows: &'a R,
    hidden: Option<&'a H>,
}

impl<R, H> View<'_, R, H>
where
    R: ReadableTable<&'static [u8], &'static [u8]>,
    H: ReadableTable<&'static [u8], &'static [u8]>,
{
    fn get<T>(&self, row: &[u8], decode: impl FnOnce(&[u8]) -> Result<T>) -> Result<Option<T>> {
        if let Some(hidden) = self.hidden
            && background_delete::covering(hidden, row)?.is_some()
        {
            return Ok(None);
        }
        self.rows.get(row).map_err(storage)?.map(|value| decode(value.value())).transpose()
    }

    fn range(&self, scan: &Scan, visit: &mut Visit<'_>) -> Result<()> {
        let mut left = scan.limit;
        self.visible_spans(&scan.span, scan.reverse, |span| {
            let mut rows = self.rows.range::<&[u8]>(ends(span)).map_err(storage)?;
            while left > 0 {
                let next = if scan.reverse { rows.next_back() } else { rows.next() };
                let Some(row) = next else { break };
                let (row, value) = row.map_err(storage)?;
                left -= 1;
                visit(row.value(), value.value())?;
            }
            Ok(left > 0)
        })
    }

    fn count(&self, span: &Span) -> Result<u64> {
        let mut count = 0;
        self.visible_spans(span, false, |span| {
            for row in self.rows.range::<&[u8]>(ends(span)).map_err(storage)? {
                row.map_err(storage)?;
                count += 1;
            }
            Ok(true)
        })?;
        Ok(count)
    }

    /// Visits the parts of `span` that are not hidden, in order, until `visit` returns false.
    fn visible_spans(
        &self,
        span: &Span,
        reverse: bool,
        mut visit: impl FnMut(&Span) -> Result<bool>,
    ) -> Result<()> {
        let Some(hidden) = self.hidden else { return visit(span).map(drop) };
        let mut rest = span.clone();
        loop {
            let next = match reverse {
                false => background_delete::first_visible(hidden, rest.clone())?,
                true => background_delete::last_visible(hidden, rest.clone())?,
            };
            let Some(next) = next else { return Ok(()) };
            if !visit(&next)? {
                return Ok(());
            }
            match reverse {
                false => rest.begin = next.end,
                true => rest.end = next.begin,
            }
        }
    }
}

type ReadOnly = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The state after a commit, shared by all readers.
pub(super) struct Snapshot {
    rows: ReadOnly,
    /// `None` if nothing is hidden.
    hidden: Option<ReadOnly>,
}

impl Snapshot {
    pub(super) fn of(database: &Database) -> Result<Self> {
        let tx = database.begin_read().map_err(errors::transaction)?;
        let hidden = match tx.open_table(HIDDEN) {
            Ok(hidden) if hidden.is_empty().map_err(storage)? => None,
            Ok(hidden) => Some(hidden),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(e) => return Err(errors::table(e)),
        };
        Ok(Snapshot { rows: tx.open_table(ROWS).map_err(errors::table)?, hidden })
    }
    /// Whether any hidden rows are left to delete.
    pub(super) fn has_hidden(&self) -> bool {
        self.hidden.is_some()
    }
    /// The number of rows in the file, with the hidden ones.
    #[cfg(test)]
    pub(super) fn rows(&self) -> u64 {
        self.rows.len().expect("the file can be read")
    }
    /// Reads every page into the cache.
    pub(super) fn read_all(&self) -> Result<()> {
        for table in [Some(&self.rows), self.hidden.as_ref()].into_iter().flatten() {
            for row in table.iter().map_err(storage)? {
                row.map_err(storage)?;
            }
        }
        Ok(())
    }
    fn view(&self) -> View<'_, ReadOnly, ReadOnly> {
        View { rows: &self.rows, hidden: self.hidden.as_ref() }
    }
}

impl Transaction for Snapshot {
    async fn get<R: Send>(
        &self,
        row: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<R> + Send,
    ) -> Result<Option<R>> {
        self.view().get(row, decode)
    }
    async fn range(&self, scan: &Scan, visit: &mut Visit<'_>) -> Result<Option<Vec<u8>>> {
        self.view().range(scan, visit).map(|()| None)
    }
    async fn count(&self, span: &Span) -> Result<u64> {
        self.view().count(span)
    }
    /// There is only one writer.
    fn add_read_conflict(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn apply(&self, changes: Vec<Change>) -> Result<()> {
        match changes.is_empty() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Other, "a read cannot change anything")),
        }
    }
}

/// Limits of deletion within a transaction. Larger ranges are hidden.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeleteLimits {
    /// For all programs of the transaction together, and again for the background deletion.
    pub(super) rows_per_commit: usize,
    /// A span of at most this many rows is always deleted: hiding it would cost as much.
    pub(super) min_rows: usize,
}

impl Default for DeleteLimits {
    fn default() -> Self {
        DeleteLimits { rows_per_commit: 1_000, min_rows: 16 }
    }
}

/// The transaction of the writing thread, shared by the programs of a commit.
pub(super) struct WriteTx<'t> {
    // Only the writing thread uses it. The mutex makes it `Sync`, as `Send` futures require.
    tables: Mutex<Tables<'t>>,
    changed: AtomicBool,
    broken: AtomicBool,
}

struct Tables<'t> {
    tx: &'t WriteTransaction,
    rows: Rows<'t>,
    /// `None` if nothing is hidden.
    hidden: Option<Rows<'t>>,
    delete_limits: DeleteLimits,
    /// Rows that may still be deleted directly.
    deletes_left: usize,
    put: usize,
}

impl<'t> WriteTx<'t> {
    /// `has_hidden` is that of the last snapshot.
    pub(super) fn begin(
        tx: &'t WriteTransaction,
        has_hidden: bool,
        delete_limits: DeleteLimits,
    ) -> Result<Self> {
        let open = |table| tx.open_table(table).map_err(errors::table);
        let hidden = if has_hidden { Some(open(HIDDEN)?) } else { None };
        let (rows, deletes_left) = (open(ROWS)?, delete_limits.rows_per_commit);
        let tables = Tables { tx, rows, hidden, delete_limits, deletes_left, put: 0 };
        Ok(WriteTx {
            tables: Mutex::new(tables),
            changed: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        })
    }
    /// Whether there is anything to commit.
    pub(super) fn changed(&self) -> bool {
        self.changed.load(Relaxed)
    }
    /// Whether a program was applied in part, so that nothing may be committed. The mutex is held
    /// during all calls of redb, so it is poisoned if redb panics.
    pub(super) fn broken(&self) -> bool {
        self.broken.load(Relaxed) || self.tables.is_poisoned()
    }
    fn lock(&self) -> MutexGuard<'_, Tables<'t>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes hidden rows in the background: at least as many as the programs have written, so
    /// that the backlog does not grow.
    pub(super) fn remove_hidden(&self) -> Result<()> {
        let mut tables = self.lock();
        let Tables { rows, hidden: Some(hidden), delete_limits, put, .. } = &mut *tables else {
            return Ok(());
        };
        self.changed.store(true, Relaxed);
        background_delete::remove(hidden, rows, delete_limits.rows_per_commit.max(*put))
            .map(drop)
            .inspect_err(|_| {
                self.broken.store(true, Relaxed);
            })
    }
}

impl<'t> Tables<'t> {
    fn view(&self) -> View<'_, Rows<'t>, Rows<'t>> {
        View { rows: &self.rows, hidden: self.hidden.as_ref() }
    }

    fn apply_change(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Put(row, value) => self.put(row, value),
            // Hidden rows may be deleted directly as well.
            Change::Delete(row) => self.rows.remove(&row[..]).map(drop).map_err(storage),
            Change::Add(row, by) => {
                let sum = self.view().get(row, |now| Ok(added(Some(now), *by)))?;
                self.put(row, &sum.unwrap_or_else(|| added(None, *by)))
            }
            Change::Clear(span) => self.clear(span),
        }
    }

    fn put(&mut self, row: &[u8], value: &[u8]) -> Result<()> {
        if let Some(hidden) = &mut self.hidden {
            background_delete::unhide(hidden, &self.rows, row)?;
        }
        self.put += 1;
        self.rows.insert(row, value).map(drop).map_err(storage)
    }

    /// Deletes the rows of a span if they are few, and hides them otherwise.
    fn clear(&mut self, span: &Span) -> Result<()> {
        let limit = self.deletes_left.max(self.delete_limits.min_rows);
        let mut found = Vec::new();
        let scan = Scan { span: span.clone(), reverse: false, limit: limit + 1, snapshot: false };
        self.view().range(&scan, &mut |row, _| {
            found.push(row.to_vec());
            Ok(())
        })?;
        if found.len() > limit {
            let hidden = match self.hidden.take() {
                Some(hidden) => hidden,
                None => self.tx.open_table(HIDDEN).map_err(errors::table)?,
            };
            return background_delete::hide(self.hidden.insert(hidden), span.clone());
        }
        self.deletes_left -= found.len().min(self.deletes_left);
        for row in found {
            self.rows.remove(&row[..]).map_err(storage)?;
        }
        Ok(())
    }
}

impl Transaction for WriteTx<'_> {
    async fn get<R: Send>(
        &self,
        row: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<R> + Send,
    ) -> Result<Option<R>> {
        self.lock().view().get(row, decode)
    }
    async fn range(&self, scan: &Scan, visit: &mut Visit<'_>) -> Result<Option<Vec<u8>>> {
        self.lock().view().range(scan, visit).map(|()| None)
    }
    async fn count(&self, span: &Span) -> Result<u64> {
        self.lock().view().count(span)
    }
    /// There is only one writer.
    fn add_read_conflict(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn apply(&self, changes: Vec<Change>) -> Result<()> {
        let too_long =
            |change: &Change| matches!(change, Change::Put(_, v) if v.len() > MAX_VALUE_LEN);
        if changes.iter().any(too_long) {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("a value of more than {MAX_VALUE_LEN} bytes"),
            ));
        }
        let mut tables = self.lock();
        for change in &changes {
            self.changed.store(true, Relaxed);
            if let Err(e) = tables.apply_change(change) {
                self.broken.store(true, Relaxed);
                return Err(e);
            }
        }
        Ok(())
    }
}
