//! The file below redb: opening it, checking its format, and statistics about it.

use super::EmbeddedOptions;
use super::errors;
use super::open;
use super::tx::{FORMAT, META};
use crate::{Error, ErrorKind, Result};
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{BackendError, Builder, Database, ReadableDatabase, StorageBackend};
use std::cell::Cell;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where a store keeps its data.
pub(super) enum Location {
    File(PathBuf),
    /// Lost when the store is closed.
    Memory,
    /// A test double. The function is called each time the store is opened.
    #[cfg(test)]
    TestDouble(Box<dyn Fn() -> io::Result<Box<dyn StorageBackend>> + Send>),
}

/// Statistics that redb does not have.
#[derive(Debug, Default)]
pub(super) struct FileStats {
    /// The maximum length of the file since it was opened.
    max_len: AtomicU64,
    /// File reads within [`expect_no_io`].
    unexpected_reads: AtomicU64,
}

thread_local! {
    static NO_IO_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

impl FileStats {
    pub(super) fn max_len(&self) -> u64 {
        self.max_len.load(Relaxed)
    }
    #[cfg(test)]
    pub(super) fn unexpected_reads(&self) -> u64 {
        self.unexpected_reads.load(Relaxed)
    }
}

/// Runs `f`, which must only read cached pages. File reads are counted; tests assert that there are
/// none.
pub(super) fn expect_no_io<T>(f: impl FnOnce() -> T) -> T {
    NO_IO_EXPECTED.set(true);
    let result = f();
    NO_IO_EXPECTED.set(false);
    result
}

/// Opens the store at `location`, or creates it.
pub(super) fn open(
    location: &Location,
    options: &EmbeddedOptions,
    stats: &Arc<FileStats>,
) -> Result<Database> {
    let storage: Box<dyn StorageBackend> = match location {
        Location::File(path) => {
            Box::new(FileBackend::new(open::open(path)?).map_err(errors::database)?)
        }
        Location::Memory => Box::new(InMemoryBackend::new()),
        #[cfg(test)]
        Location::TestDouble(make) => make().map_err(errors::io)?,
    };
    let fresh = storage.len().map_err(|e| errors::storage(e.into()))? == 0;
    stats.max_len.store(0, Relaxed);
    let storage = InstrumentedStorage { storage, stats: stats.clone() };
    let database = Builder::new()
        .set_cache_size(options.cache)
        .set_check_integrity_on_open(options.verify)
        .create_with_backend(storage)
        .map_err(errors::database)?;
    if fresh {
        open::initialize(&database)?;
    }
    check_format(&database)?;
    Ok(database)
}

fn check_format(database: &Database) -> Result<()> {
    let tx = database.begin_read().map_err(errors::transaction)?;
    let meta = tx.open_table(META).map_err(errors::table)?;
    match meta.get("format").map_err(errors::storage)?.map(|format| format.value()) {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the file has format {newer}, and this version supports {FORMAT}"),
        )),
        // No release has written this format.
        Some(1) => Err(Error::new(
            ErrorKind::Unsupported,
            "the file has format 1, which was never released",
        )),
        _ => Err(Error::new(
            ErrorKind::Corrupt,
            "the file does not have a known format: open another path, or restore it from a backup",
        )),
    }
}

/// Records the maximum length of the file and unexpected reads.
#[derive(Debug)]
struct InstrumentedStorage {
    storage: Box<dyn StorageBackend>,
    stats: Arc<FileStats>,
}

impl StorageBackend for InstrumentedStorage {
    fn len(&self) -> io::Result<u64> {
        let len = self.storage.len()?;
        self.stats.max_len.fetch_max(len, Relaxed);
        Ok(len)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if NO_IO_EXPECTED.get() {
            self.stats.unexpected_reads.fetch_add(1, Relaxed);
        }
        self.storage.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)?;
        self.stats.max_len.fetch_max(len, Relaxed);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.storage.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.storage.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(start, end)
    }
    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(start, end)
    }
    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(start, end)
    }
    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(start, end)
    }
    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(start, end)
    }
}
