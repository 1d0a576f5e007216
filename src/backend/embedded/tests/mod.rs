//! Tests of the embedded store under faults: power cuts, I/O errors, damaged files, cancelled
//! calls.
//!
//! ```text
//!  faulty_disk.rs   the test double of a disk     io_errors.rs           I/O errors and recovery
//!  power_cuts.rs    power cuts                    damage.rs              damaged and foreign files
//!  opening.rs       creating and locking files    closing.rs             closing, cancelled calls
//!  group_commit.rs  which writes share a commit   large_writes.rs        fairness
//!  threads.rs       no I/O on callers' threads    background_delete.rs   large deletions
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

/// The engine of a store.
fn engine(store: &Store<Embedded>) -> &Redb {
    store.backend().0.engine()
}

type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Polls a call once. It must be pending.
fn pending<'a, T>(call: impl Future<Output = Result<T>> + Send + 'a) -> Pending<'a, T> {
    let mut call: Pending<'a, T> = Box::pin(call);
    assert!(call.as_mut().now_or_never().is_none(), "the call must be pending");
    call
}

/// Reproducible random bytes.
fn filler(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}
