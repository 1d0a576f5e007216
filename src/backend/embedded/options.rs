//! [`EmbeddedOptions`].

use super::Embedded;
use super::engine::Redb;
use super::file::Location;
use super::tx::DeleteLimits;
use crate::Result;
use std::path::Path;

/// How an [`Embedded`] store is opened. `Default` is right for most.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct EmbeddedOptions {
    /// The most bytes of the file that are kept in memory. 256 MiB by default.
    ///
    /// While the file is at most half as large, short reads are answered from memory on the
    /// caller's thread, without a switch to another.
    pub(crate) cache: usize,
    /// How many threads do the other reads. 2 by default.
    pub(crate) readers: usize,
    /// Whether opening verifies every checksum of the file. On by default; it takes about 0.4 s per
    /// million rows. Without it, damage that was done to the file while it was closed may show as
    /// wrong answers.
    pub(crate) verify: bool,
    pub(super) delete_limits: DeleteLimits,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        EmbeddedOptions {
            cache: 256 << 20,
            readers: 2,
            verify: true,
            delete_limits: DeleteLimits::default(),
        }
    }
}

impl EmbeddedOptions {
    /// The default: a cache of 256 MiB, 2 reading threads, and verification.
    pub fn new() -> Self {
        EmbeddedOptions::default()
    }
    /// Sets [`cache`](Self::cache).
    pub fn cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }
    /// Sets [`readers`](Self::readers).
    pub fn readers(mut self, threads: usize) -> Self {
        self.readers = threads;
        self
    }
    /// Sets [`verify`](Self::verify).
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }
    /// Opens the store in the file at `path`, or makes a new one.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub async fn open(self, path: impl AsRef<Path>) -> Result<Embedded> {
        let location = Location::File(path.as_ref().to_owned());
        Redb::open(location, self).await.map(Embedded::new)
    }
    /// A store of the same engine in memory, which no disk slows down and nothing outlives. For
    /// tests of the engine; for your own tests [`Memory`](crate::Memory) is faster.
    ///
    /// # Errors
    /// `Unavailable` if a thread cannot be started.
    pub async fn in_memory(self) -> Result<Embedded> {
        Redb::open(Location::Memory, self).await.map(Embedded::new)
    }
}
