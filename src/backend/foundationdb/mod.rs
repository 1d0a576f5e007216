//! [`FoundationDb`]: a store in a subspace of a cluster.
//!
//! ```text
//!  mod.rs       the public type               ../ordered   the data types over rows
//!  options.rs   the public options, the URL   errors.rs    error codes, mapped to ours
//!  engine.rs    attempts, commits, backoff    tx.rs        the reads and changes of a transaction
//!  database.rs  begins transactions           network.rs   the network thread of the client
//! ```

mod database;
mod engine;
mod errors;
mod network;
mod options;
mod tx;

pub use options::FoundationDbOptions;

use super::ordered::Ordered;
use super::{Backend, Context};
use crate::op::{Op, Read, Reply, Write};
use crate::{Error, ErrorKind, Outcome, Result};
use database::{Fdb, MAX_KEY_LEN};
use foundationdb::Database;
use foundationdb::tuple::Subspace;
use std::sync::Arc;

const NAME: &str = "foundationdb";

/// The maximum prefix of a subspace. It leaves room for every portable key and member.
const MAX_PREFIX_LEN: usize = 2_048;

/// A store in a subspace of a FoundationDB cluster.
///
/// Any async runtime will do. Clones share the connection.
///
/// ```no_run
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{FoundationDb, Store};
/// let url = "foundationdb:/etc/foundationdb/fdb.cluster?subspace=app";
/// let store = Store::new(FoundationDb::open(url).await?);
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// [`FoundationDbOptions`] documents the URL and the options. Building needs libclang, running
/// needs `libfdb_c` 7.3 or later: see `docs/foundationdb.md`.
///
/// # Cost
///
/// | call | round trips |
/// |---|---|
/// | a read, a batch of reads | 1 of reads |
/// | `set`, `sadd`, `srem`, `hset`, `hdel`, unconditional | 1 commit |
/// | `set_nx`, `set_xx`, `set_eq`, `hset_nx`, `delete`, `incr_by` | 1 of reads, 1 commit |
/// | `zadd`, `zhadd`, `zincr_by`, `zrem` | 1 of reads, 1 commit |
/// | a long value: over 100,000 bytes, or over 1 KiB in a sorted hash | 1 more of reads |
/// | a batch, an atomic write | those of its costliest operation |
/// | a write that changes nothing | no commit |
///
/// - The observer reports these round trips as `read` and `commit`. Getting the read version (GRV)
///   is part of the first `read`; the client batches it over transactions.
/// - In an atomic write `incr_by` reads the counter, but does not conflict with other increments.
///   `delete` reads whether the key holds a sorted set.
/// - `zrange` with a limit reads only the members that it returns. `zcount` and `zlexcount` read
///   each member that they count. A range of many rows is read page by page, one round trip each.
/// - `delete` clears a range, at the same cost for any number of rows.
///
/// # Conflicts and errors
///
/// - Two `sadd` of different members, two `hset` of different fields, two `zadd` of different
///   members never conflict. Nor do increments in atomic writes, which are atomic additions.
/// - A transaction that conflicts is retried with the client's backoff, within the timeout and the
///   number of attempts of [`FoundationDbOptions`]. After that it fails with `Conflict`.
/// - If the cluster does not say whether a transaction was committed, it is not retried. The write
///   fails, and [`outcome_is_unknown`](crate::Error::outcome_is_unknown) is true.
/// - If the cluster does not answer, calls fail with `Timeout`. The client reconnects by itself.
///
/// # Limits of a transaction
///
/// - **10 MB of changes.** A larger write is `TooLarge`. A batch is split into several
///   transactions.
/// - **5 seconds.** A batch that takes longer is split in halves. A long read continues at a newer
///   state: each page is of one state, and the whole may mix states of the time of the read. In
///   practice only ranges of hundreds of thousands of members take that long.
///
/// # Consistency
///
/// Reads are strictly serializable, except as a whole those that take more than 5 seconds (see
/// above). [`eventually_consistent`](crate::Store::eventually_consistent)
/// reads use the GRV cache (`USE_GRV_CACHE`) if the client has one. With the default client they
/// change nothing. To have it, start the network yourself with the option `DISABLE_CLIENT_BYPASS`,
/// and call [`FoundationDb::new`].
///
/// # Other types
///
/// A key of another type is treated as absent, because a check would add a read to blind writes.
/// Two operations return `WrongType`: `incr_by`, and in an atomic write `delete` of a sorted set.
///
/// # File format
///
/// The rows are those of the embedded file, behind the prefix of the subspace: see
/// `docs/file-format.md`.
#[derive(Clone, Debug)]
pub struct FoundationDb(Arc<Ordered<Fdb>>);

impl FoundationDb {
    /// Creates a store in `subspace` of a database that you have opened. You must have started the
    /// network. Different subspaces are isolated, also if one contains the other.
    ///
    /// Not covered by semver: `Database` and `Subspace` are types of the crate `foundationdb`, and
    /// a minor version may move to another major version of it.
    ///
    /// # Errors
    /// `TooLarge` if the prefix of the subspace is longer than 2,048 bytes.
    pub fn new(database: impl Into<Arc<Database>>, subspace: Subspace) -> Result<Self> {
        let engine = engine(database.into(), subspace, FoundationDbOptions::default())?;
        Ok(FoundationDb(Arc::new(Ordered::new(engine))))
    }
    /// For a database that no other store uses.
    fn opened(
        database: Database,
        subspace: Subspace,
        options: FoundationDbOptions,
    ) -> Result<Self> {
        let engine = engine(database.into(), subspace, options)?.with_database_options()?;
        Ok(FoundationDb(Arc::new(Ordered::new(engine))))
    }
    /// Opens the cluster of `url` with the default [`FoundationDbOptions`], which document the URL.
    ///
    /// # Errors
    /// As [`FoundationDbOptions::open`].
    pub async fn open(url: impl AsRef<str>) -> Result<Self> {
        FoundationDbOptions::new().open(url).await
    }
    /// Replaces the timeout and the number of attempts. URL options are ignored.
    #[must_use]
    pub fn with_options(self, options: FoundationDbOptions) -> Self {
        // The database may be shared with another store.
        let engine = Fdb { options, has_database_options: false, ..self.0.engine().clone() };
        FoundationDb(Arc::new(Ordered::new(engine)))
    }
}

fn engine(
    database: Arc<Database>,
    subspace: Subspace,
    options: FoundationDbOptions,
) -> Result<Fdb> {
    let prefix = subspace.into_bytes();
    if prefix.len() > MAX_PREFIX_LEN {
        let message = format!("the prefix of a subspace has at most {MAX_PREFIX_LEN} bytes");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(Fdb {
        database,
        prefix: prefix.into(),
        options,
        has_database_options: false,
        caches_read_versions: Arc::new(true.into()),
    })
}

impl Backend for FoundationDb {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        self.0.read(cx, op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        self.0.write(cx, op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        self.0.batch(cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        self.0.transact(cx, writes).await
    }
}

const _: () = assert!(MAX_PREFIX_LEN + 2 * (2_048 + 1_016) + 64 <= MAX_KEY_LEN);

#[cfg(test)]
mod tests;
