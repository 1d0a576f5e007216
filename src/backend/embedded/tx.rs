//! Transactions over one redb table of rows.
//!
//! Nothing here waits for anything but the disk, so every future is ready when it is first polled.

use super::errors::storage;
use crate::backend::ordered::{Change, Scan, Span, Transaction, Visit, added};
use crate::{Error, ErrorKind, Result};
use redb::{ReadOnlyTable, ReadableTable, Table, TableDefinition};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("keyvaluestore");
/// The layout of the rows. A change that older versions cannot read makes it another number.
pub(super) const FORMAT: u64 = 2;

/// What redb takes as a value is 3 GiB; what nobody should put into one row is less.
const MOST_BYTES: usize = 1 << 30;

type Row<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

fn ends(span: &Span) -> Row<'_> {
    (Bound::Included(&span.begin), Bound::Excluded(&span.end))
}

fn get<R>(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    row: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<R>,
) -> Result<Option<R>> {
    table.get(row).map_err(storage)?.map(|value| decode(value.value())).transpose()
}

fn range(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    scan: &Scan,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let mut rows = table.range::<&[u8]>(ends(&scan.span)).map_err(storage)?;
    for _ in 0..scan.limit {
        let next = if scan.reverse { rows.next_back() } else { rows.next() };
        let Some(row) = next else { break };
        let (row, value) = row.map_err(storage)?;
        visit(row.value(), value.value())?;
    }
    Ok(())
}

fn count(table: &impl ReadableTable<&'static [u8], &'static [u8]>, span: &Span) -> Result<u64> {
    let mut count = 0;
    for row in table.range::<&[u8]>(ends(span)).map_err(storage)? {
        row.map_err(storage)?;
        count += 1;
    }
    Ok(count)
}

/// The state after some commit. Shared by all who read it.
pub(super) struct Snapshot(pub(super) ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Snapshot {
    /// Reads every page, so that they are all in the cache.
    pub(super) fn read_all(&self) -> Result<()> {
        for row in self.0.iter().map_err(storage)? {
            row.map_err(storage)?;
        }
        Ok(())
    }
}

impl Transaction for Snapshot {
    async fn get<R: Send>(
        &self,
        row: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<R> + Send,
    ) -> Result<Option<R>> {
        get(&self.0, row, decode)
    }
    async fn range(&self, scan: &Scan, visit: &mut Visit<'_>) -> Result<Option<Vec<u8>>> {
        range(&self.0, scan, visit).map(|()| None)
    }
    async fn count(&self, span: &Span) -> Result<u64> {
        count(&self.0, span)
    }
    /// Nobody else writes while a transaction that writes is open.
    fn guard(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn apply(&self, changes: Vec<Change>) -> Result<()> {
        match changes.is_empty() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Other, "a read cannot change anything")),
        }
    }
}

/// The transaction of the writing thread, shared by the programs whose commit it will be.
pub(super) struct WriteTx<'t> {
    // Only one thread is ever here; the lock makes it `Sync`, which futures that may be sent ask for.
    table: Mutex<Table<'t, &'static [u8], &'static [u8]>>,
    changed: AtomicBool,
    broken: AtomicBool,
}

impl<'t> WriteTx<'t> {
    pub(super) fn new(table: Table<'t, &'static [u8], &'static [u8]>) -> Self {
        WriteTx {
            table: Mutex::new(table),
            changed: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }
    /// Whether there is anything to commit.
    pub(super) fn changed(&self) -> bool {
        self.changed.load(Relaxed)
    }
    /// Whether a program was applied in part, so that nothing may be committed. The lock is held whenever
    /// redb is at work, so it is poisoned if redb has panicked in the middle.
    pub(super) fn broken(&self) -> bool {
        self.broken.load(Relaxed) || self.table.is_poisoned()
    }
    fn lock(&self) -> MutexGuard<'_, Table<'t, &'static [u8], &'static [u8]>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transaction for WriteTx<'_> {
    async fn get<R: Send>(
        &self,
        row: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<R> + Send,
    ) -> Result<Option<R>> {
        get(&*self.lock(), row, decode)
    }
    async fn range(&self, scan: &Scan, visit: &mut Visit<'_>) -> Result<Option<Vec<u8>>> {
        range(&*self.lock(), scan, visit).map(|()| None)
    }
    async fn count(&self, span: &Span) -> Result<u64> {
        count(&*self.lock(), span)
    }
    /// Nobody else writes while a transaction that writes is open.
    fn guard(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn apply(&self, changes: Vec<Change>) -> Result<()> {
        let too_long =
            |change: &Change| matches!(change, Change::Put(_, v) if v.len() > MOST_BYTES);
        if changes.iter().any(too_long) {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("a value of more than {MOST_BYTES} bytes"),
            ));
        }
        let mut table = self.lock();
        for change in &changes {
            self.changed.store(true, Relaxed);
            if let Err(e) = carry_out(&mut table, change) {
                self.broken.store(true, Relaxed);
                return Err(e);
            }
        }
        Ok(())
    }
}

fn carry_out(table: &mut Table<'_, &'static [u8], &'static [u8]>, change: &Change) -> Result<()> {
    match change {
        Change::Put(row, value) => {
            table.insert(&row[..], &value[..]).map_err(storage)?;
        }
        Change::Delete(row) => {
            table.remove(&row[..]).map_err(storage)?;
        }
        Change::Add(row, by) => {
            let sum =
                added(table.get(&row[..]).map_err(storage)?.as_ref().map(|now| now.value()), *by);
            table.insert(&row[..], &sum[..]).map_err(storage)?;
        }
        Change::Clear(span) => {
            let mut rows = Vec::new();
            for row in table.range::<&[u8]>(ends(span)).map_err(storage)? {
                rows.push(row.map_err(storage)?.0.value().to_vec());
            }
            for row in rows {
                table.remove(&row[..]).map_err(storage)?;
            }
        }
    }
    Ok(())
}
