//! [`FoundationDb`]: a subspace of a cluster.
//!
//! ```text
//!  mod.rs       the public type                       ../ordered   the data types, in rows
//!  engine.rs    begin, commit, again                  tx.rs        reads and changes of a transaction
//!  network.rs   the one thread of the client          errors.rs    what its error codes mean to a caller
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
use crate::{Error, ErrorKind, Outcome, Result, Store};
use database::{Fdb, MAX_KEY_LEN};
use foundationdb::Database;
use foundationdb::tuple::Subspace;
use std::sync::Arc;

const NAME: &str = "foundationdb";

/// The longest prefix of a subspace: behind it there has to be room for every portable key and
/// member.
const MAX_PREFIX_LEN: usize = 2_048;

/// Keeps everything in a subspace of a FoundationDB cluster. For production where you have a
/// cluster, or want control over the hardware.
///
/// ```no_run
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{FoundationDb, Store};
/// let store = Store::new(FoundationDb::open("foundationdb:/etc/foundationdb/fdb.cluster?subspace=app").await?);
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// Any async runtime will do. Clones share the connection.
///
/// # Cost
///
/// A read is a read version and one wave of reads, issued together, however many operations there
/// are in a batch. A write that asks for nothing (`set`, `sadd`, `srem`, `hset`, `hdel`) is a
/// commit alone; one with a condition or an answer, and `zadd` and `zrem`, are a wave and a commit.
/// Long values (over 100,000 bytes; in a sorted hash over 1 KiB) are read by a second wave. The
/// observer hears of waves as `read`, and of commits as `commit`. A `delete` in an atomic write is
/// a wave, too: it looks whether the key holds a sorted set.
///
/// `zrange` with a limit costs what it answers, wherever in the set the range begins. `zcount` and
/// `zlexcount` read each member that they count. `delete` clears a range, whatever its size.
///
/// Writes conflict only where they have to: two `sadd` of different members, two `hset` of
/// different fields, two `zadd` of different members never do, nor do increments inside of atomic
/// writes, which the cluster adds up itself.
///
/// # Failures
///
/// A transaction that loses to another one is tried retryable, after a pause that grows, for as long as
/// [`FoundationDbOptions`] say, and ends as `Conflict`. One of which the cluster does not say
/// whether it was committed is never sent retryable: its error says that the outcome is
/// [unknown](crate::Error::outcome_is_unknown).
///
/// # Limits of the cluster
///
/// A transaction changes 10 MB, and takes 5 seconds. A write that is larger is `TooLarge`; a batch
/// is cut into several transactions, by size, and into halves where one has taken longer. A range
/// or a set that takes longer to read goes on at a newer state: pages are of one state each, and
/// the whole is what was there at some time or other while it was read. What takes less, which is
/// all but ranges of hundreds of thousands, is of one state.
///
/// # Consistency
///
/// Reads are strictly serializable. [`eventually_consistent`](crate::Store::eventually_consistent)
/// reads use a read version that the client has asked for a moment ago (`USE_GRV_CACHE`), where the
/// client has one: only one that can load other versions of itself does (the network option
/// `DISABLE_CLIENT_BYPASS`, which a program can set that starts the network itself).
///
/// # Other types
///
/// A key that holds another type than an operation works on is answered as though it were absent:
/// to look would cost blind writes a read. Two operations tell `WrongType`: `incr_by`, and in an
/// atomic write `delete` of a key that holds a sorted set.
#[derive(Clone, Debug)]
pub struct FoundationDb(Arc<Ordered<Fdb>>);

impl FoundationDb {
    /// A store in `subspace` of a database that you have opened, on a network that you have
    /// started. Different subspaces never see each other, also where one is within the other.
    ///
    /// # Errors
    /// `TooLarge` if the prefix of the subspace is longer than 2,048 bytes.
    pub fn new(database: impl Into<Arc<Database>>, subspace: Subspace) -> Result<Self> {
        let engine = engine(database.into(), subspace, FoundationDbOptions::default())?;
        Ok(FoundationDb(Arc::new(Ordered::new(engine))))
    }
    /// On a database that nobody else has.
    fn opened(
        database: Database,
        subspace: Subspace,
        options: FoundationDbOptions,
    ) -> Result<Self> {
        let engine = engine(database.into(), subspace, options)?.with_database_options()?;
        Ok(FoundationDb(Arc::new(Ordered::new(engine))))
    }
    /// Opens the cluster that `url` names, with the default [`FoundationDbOptions`], which tell
    /// what URLs there are.
    ///
    /// # Errors
    /// As [`FoundationDbOptions::open`].
    pub async fn open(url: impl AsRef<str>) -> Result<Self> {
        FoundationDbOptions::new().open(url).await
    }
    /// Replaces the timeout and the number of attempts. URL options are ignored.
    #[must_use]
    pub fn with_options(self, options: FoundationDbOptions) -> Self {
        // Others may share the database.
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

impl Store {
    /// A store in a subspace of a database that you have opened: short for
    /// `Store::new(`[`FoundationDb::new`]`(database, subspace)?)`.
    ///
    /// # Errors
    /// As [`FoundationDb::new`].
    pub fn foundationdb(database: impl Into<Arc<Database>>, subspace: Subspace) -> Result<Self> {
        FoundationDb::new(database, subspace).map(Store::new)
    }
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
