//! The FoundationDB backend on a real cluster.
//!
//! ```text
//!  round_trips.rs   round trips of each call      limits.rs     splitting, paging, TooLarge
//!  races.rs         concurrent writers            failures.rs   servers killed, paused, away
//!  subspaces.rs     isolation of subspaces        network.rs    the client's network thread
//! ```

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

#[path = "../support/mod.rs"]
mod support;

mod failures;
mod limits;
mod network;
mod races;
mod round_trips;
mod subspaces;

use keyvaluestore::Store;

/// A store in an empty subspace of the shared cluster.
async fn store() -> Store {
    Store::open(&support::foundationdb::subspace()).await.unwrap()
}
