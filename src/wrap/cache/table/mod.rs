//! Where the cache stores replies: the trait [`Table`], through which the protocol (`core.rs`,
//! `gate.rs`, `batch.rs`) sees it, and the two tables.
//!
//! ```text
//!  shared.rs    SharedTable: for all callers; shards whose readers write no shared memory
//!  s3_fifo.rs   one shard of it, and which entries it evicts
//!  request.rs   RequestTable: for one request; two generations behind one lock
//!  entry.rs     the replies of one key, and which reads they answer
//!  replicas.rs  a string once more for each thread that reads it often
//!  plain_map.rs (tests) a map behind a mutex, to test the protocol without either of the two
//! ```

mod entry;
mod replicas;
mod request;
mod s3_fifo;
mod shared;

#[cfg(test)]
pub(super) mod plain_map;

pub(super) use entry::Unit;

use self::request::RequestTable;
use self::shared::SharedTable;
use crate::Key;
use crate::backend::Consistency;
use crate::op::{Read, Reply};
use std::time::Instant;

/// A bounded map from reads to replies.
///
/// A table does not decide which replies may be stored: the protocol does. The protocol calls
/// `insert` and `invalidate` for one key under the lock of that key, so never two at once, and
/// `clear` under the locks of all keys. It calls `get` without a lock, at any time.
pub(super) trait Table: Send + Sync + 'static {
    /// The stored answer to `read`. A strong read is never answered from an eventual reply.
    fn get(&self, consistency: Consistency, read: &Read) -> Option<Reply>;
    /// Stores the reply to `read` until `expires`, if there is room.
    fn insert(
        &self,
        consistency: Consistency,
        read: &Read,
        reply: &Reply,
        expires: Option<Instant>,
    );
    /// Removes the replies of `key`. Eventual reads may get theirs until `eventual_until`.
    fn invalidate(&self, key: &Key, eventual_until: Option<Instant>);
    /// Removes all replies.
    fn clear(&self);
}

/// What a table did and holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// How many replies were evicted.
    pub(super) evictions: u64,
    /// How much of the bound is used, in its unit.
    pub(super) size: u64,
}

/// The table of a [`Cache`](super::Cache).
pub(super) enum AnyTable {
    Shared(SharedTable),
    Request(RequestTable),
}

impl AnyTable {
    pub(super) fn shared(unit: Unit, bound: u64) -> Self {
        AnyTable::Shared(SharedTable::new(unit, bound))
    }
    pub(super) fn request(unit: Unit, bound: u64) -> Self {
        AnyTable::Request(RequestTable::new(unit, bound))
    }
    /// Whether `key` has a reply that has not expired.
    pub(super) fn contains(&self, key: &Key) -> bool {
        match self {
            AnyTable::Shared(table) => table.contains(key),
            AnyTable::Request(table) => table.contains(key),
        }
    }
    pub(super) fn usage(&self) -> Usage {
        match self {
            AnyTable::Shared(table) => table.usage(),
            AnyTable::Request(table) => table.usage(),
        }
    }
}

impl Table for AnyTable {
    #[inline]
    fn get(&self, consistency: Consistency, read: &Read) -> Option<Reply> {
        match self {
            AnyTable::Shared(table) => table.get(consistency, read),
            AnyTable::Request(table) => table.get(consistency, read),
        }
    }
    fn insert(
        &self,
        consistency: Consistency,
        read: &Read,
        reply: &Reply,
        expires: Option<Instant>,
    ) {
        match self {
            AnyTable::Shared(table) => table.insert(consistency, read, reply, expires),
            AnyTable::Request(table) => table.insert(consistency, read, reply, expires),
        }
    }
    fn invalidate(&self, key: &Key, eventual_until: Option<Instant>) {
        match self {
            AnyTable::Shared(table) => table.invalidate(key, eventual_until),
            AnyTable::Request(table) => table.invalidate(key, eventual_until),
        }
    }
    fn clear(&self) {
        match self {
            AnyTable::Shared(table) => table.clear(),
            AnyTable::Request(table) => table.clear(),
        }
    }
}
