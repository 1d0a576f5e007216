//! [`EmbeddedOptions`]: cache, threads, verification.

use super::Embedded;
use super::engine::Redb;
use super::file::Location;
use super::tx::DeleteLimits;
use crate::Result;
use std::path::Path;

/// Options of an [`Embedded`] store.
///
/// | method | URL | default |
/// |---|---|---|
/// | [`cache`](Self::cache) | `cache=64MiB` | 256 MiB |
/// | [`readers`](Self::readers) | `readers=4` | 2 |
/// | [`verify`](Self::verify) | `verify=false` | `true` |
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::Store;
/// use keyvaluestore::backend::EmbeddedOptions;
/// let store = Store::new(EmbeddedOptions::new().cache(16 << 20).in_memory().await?);
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct EmbeddedOptions {
    pub(crate) cache: usize,
    pub(crate) readers: usize,
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
    /// The default options.
    pub fn new() -> Self {
        EmbeddedOptions::default()
    }
    /// Bytes of the file to keep in memory. 256 MiB by default.
    ///
    /// While the file takes at most half of this, short reads run on the caller's thread.
    pub fn cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }
    /// The number of reading threads, for reads that do not run on the caller's thread. At least 1;
    /// 2 by default.
    pub fn readers(mut self, threads: usize) -> Self {
        self.readers = threads;
        self
    }
    /// Whether opening verifies all checksums of the file. On by default. Verification takes about
    /// 0.4 s per million rows. Without it, a file that was damaged while it was closed may return
    /// wrong data.
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }
    /// Opens the store in the file at `path`, or creates it.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub async fn open(self, path: impl AsRef<Path>) -> Result<Embedded> {
        let location = Location::File(path.as_ref().to_owned());
        Redb::open(location, self).await.map(Embedded::new)
    }
    /// Opens a store of this engine in memory. Its data is lost when it is closed. Use it to test
    /// this engine; for other tests [`Memory`](crate::Memory) is faster.
    ///
    /// # Errors
    /// `Unavailable` if no thread can be started.
    pub async fn in_memory(self) -> Result<Embedded> {
        Redb::open(Location::Memory, self).await.map(Embedded::new)
    }
}
