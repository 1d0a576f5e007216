//! The FoundationDB backend on a real cluster: what a call costs, what the limits of a transaction
//! lead to, what is left when the server is killed, paused or not there, and the one network
//! thread.

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
