//! What the embedded store does when something fails: the power, the disk, the file, a caller's
//! patience.
//!
//! ```text
//!  disk.rs      the storage that fails on demand     failing.rs   a disk that fails for a while
//!  power.rs     power cuts                           threads.rs   which thread does what, and who waits
//!  damage.rs    files that are not what they were    groups.rs    what shares a commit
//!  making.rs    files that are not there yet         closing.rs   the end
//!  hidden.rs    what is deleted and not yet removed  turns.rs     big writers and their neighbours
//! ```

mod background_delete;
mod closing;
mod damage;
mod faulty_disk;
mod group_commit;
mod io_errors;
mod large_writes;
mod opening;
mod power_cuts;
mod threads;

use super::engine::Redb;
use super::file::Location;
use super::{Embedded, EmbeddedOptions};
use crate::{Result, Store};
use faulty_disk::FaultyDisk;
use futures_util::FutureExt;
use std::pin::Pin;

async fn open(disk: &FaultyDisk) -> Result<Store<Embedded>> {
    open_with(disk, EmbeddedOptions::default()).await
}

async fn open_with(disk: &FaultyDisk, options: EmbeddedOptions) -> Result<Store<Embedded>> {
    let disk = disk.clone();
    let location = Location::TestDouble(Box::new(move || Ok(Box::new(disk.clone()))));
    let engine = Redb::open(location, options).await?;
    Ok(Store::with_backend(Embedded::new(engine)))
}

/// An engine's insides.
fn engine(store: &Store<Embedded>) -> &Redb {
    store.backend().0.engine()
}

type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A call that has been made and is not answered yet.
fn begun<'a, T>(call: impl Future<Output = Result<T>> + Send + 'a) -> Pending<'a, T> {
    let mut call: Pending<'a, T> = Box::pin(call);
    assert!(call.as_mut().now_or_never().is_none(), "it was to wait");
    call
}

/// Bytes that only `seed` and `len` tell.
fn filler(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}
