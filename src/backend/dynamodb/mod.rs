//! [`DynamoDb`]: one table of DynamoDB.
//!
//! | file | what it knows |
//! |---|---|
//! | `api.rs`, `error.rs` | the seam: the nine calls, and what their failures mean to the backend |
//! | `watch.rs`, `translate.rs`, `codes.rs` | the SDK's client: what was sent, what its errors mean |
//! | `items.rs` | the layout: what is written into an item, and what one that was read holds |
//! | `write.rs` | every write: what is sent at first, and what next if its condition has failed |
//! | `action.rs` | a write as the service has it, alone or in a transaction |
//! | `read.rs`, `range.rs` | the reads of one item, of groups of them, and of ranges |
//! | `batch.rs` | batches: what can be done at once, and in how few requests |
//! | `atomic.rs` | atomic writes |
//! | `flow.rs` | how much of a batch is under way at once |
//! | `call.rs` | one request: timeouts, what is sent again, what the observer hears |
//! | `options.rs`, `setup.rs`, `setup/` | URLs and options; the table and its policy |
//! | `cost.md` | the table of prices, which a test makes |
//!
//! This file puts them together: it runs one operation.

mod action;
mod api;
mod atomic;
mod batch;
mod call;
mod codes;
mod error;
mod flow;
mod items;
mod options;
mod range;
mod read;
mod setup;
mod translate;
mod watch;
mod write;

pub use api::{DynamoApi, DynamoClient, DynamoResult};
pub use error::DynamoError;
pub use options::DynamoDbOptions;

use super::{Backend, Context};
use crate::op::{Op, Read, Reply, Write};
use crate::{Error, Key, Outcome, Result, Store};
use action::Action;
use api::Item;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ReturnValue;
use call::{Clock, Tries, Trip, contention};
use error::Found;
use items::{Holds, PLAIN, holds};
use std::sync::Arc;
use write::{Done, Step, first, informed, marking, reply, sweeping};

const BACKEND: &str = "dynamodb";

/// A store on one table of DynamoDB.
///
/// ```no_run
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{DynamoDb, Store};
/// let store = Store::new(DynamoDb::open("dynamodb://table?region=eu-central-1").await?);
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// The table is made by [`create_table`](Self::create_table), by `create_table=true` in the URL, or
/// from [`CLOUDFORMATION`](Self::CLOUDFORMATION) or [`TERRAFORM`](Self::TERRAFORM);
/// [`IAM_POLICY`](Self::IAM_POLICY) is what a program has to be allowed. A server of one's own for
/// development, such as DynamoDB Local, is named by `endpoint=`.
///
/// # Price
///
/// Every operation is one request, but for `zincr_by`, which reads first. These take one more: to
/// remove the last fields of a hash or as many members as a set has; to delete a key that holds no
/// string, counter, set or hash, and so perhaps a sorted set (which is then removed in pages and
/// groups of 25); the first `incr_by` after a `set`, which has written text; `set_xx` over a hash;
/// a write over what an emptied hash has left (two more if the Go library has emptied it); `hset`
/// and `hdel` of more than 250 fields, which read the hash and put it whole. A write that loses to
/// another one is tried again, and a range is read in pages of 1 MB.
///
/// An atomic write is one transaction, which costs twice what its writes do alone, and one read
/// before if there is a `zincr_by` in it. In the cases above, and where it removes what is not
/// there, it takes a second transaction.
///
/// Some operations cost more the more is stored. `zcount`, `zlexcount`, `zrange` and `zhrange` read
/// every member of the range, or `n` of them with `limit(n)`. The values are read, too, even where
/// they are not returned: the index holds them. So a count costs what reading the whole range does:
/// a unit per 4 KB. `delete` of a sorted set reads all of it, then writes each member twice, in the
/// table and in the index. `smembers`, `hgetall` and `hget` cost the size of the whole set or hash.
/// A write to a set or hash costs its whole size, before or after the write, whichever is larger.
///
/// A batch reads in groups of 100 items and writes in groups of 25 or 1 MB, all at once (see
/// [`concurrency`](DynamoDbOptions::concurrency)). Only `set`, `zadd`, `zhadd`, `zrem` and `zhrem`
/// are written in groups: all other writes are requests of their own. Operations on one item that
/// get in each other's way are sent one after another.
///
/// In units of capacity, for a value of 100 bytes (of each KB of an item a write costs as much
/// again, of each 4 KB a read):
#[doc = ""]
#[doc = include_str!("cost.md")]
///
/// [`eventually_consistent`](crate::Store::eventually_consistent) reads cost half. An
/// [`Observer`](crate::observe::Observer) hears of every request, of the units it has cost, table
/// and index together, and of everything that is sent again. What a failed condition costs (as much
/// as the write) the service does not say.
///
/// # Limits of the service
///
/// An atomic write holds 4 MB. It is one request, and `attempt_timeout` must be long enough for it.
/// An item holds 400 KB, and a whole set or hash is one item; a sorted set is an item per member.
/// All items of one key together, with their index, hold 10 GB, and take 1,000 write units and
/// 3,000 read units a second, whatever the table has been given, for they stay in one partition: a
/// sorted set of 10 million members of 100 bytes is at home here, and so are some 300 moves of
/// members per second (at 3 units each); one leaderboard for everybody is better cut into several
/// keys.
///
/// # Failures
///
/// A read is sent again after every failure that may pass. A write is sent again only if it is
/// known that it was not applied: the service refused it for now with a status of 4xx, or it was
/// never sent, because there were no credentials or no connection. If the answer to a write is
/// lost, late, of status 5xx, or cannot be read (the page of a proxy), the error says that the
/// [outcome is unknown](crate::Error::outcome_is_unknown). An atomic write carries an idempotency
/// token: it is sent again in these cases, too, and applied once. The SDK's own retries are turned
/// off. Pauses with jitter are made before every retry, and timeouts and attempts are bounded: see
/// [`DynamoDbOptions`]. Errors name the table and, where it is known, the address of the server.
///
/// `AccessDenied` means that there are no credentials, or that they are refused; if the signature
/// has expired, the error names the clock. If a provider of credentials fails, the error is
/// `Unavailable`, and the call is retried.
///
/// `delete` of a sorted set is not atomic. It removes page after page, and goes on while it makes
/// progress. If it fails, some members may be gone. Call it again to remove the others.
///
/// Every call needs a tokio runtime with timers and I/O (`Builder::enable_all`), and returns
/// `Unsupported` without one.
///
/// # Layout
///
/// That of the Go library keyvaluestore, in both directions: `hk` is the key, `rk` is `_` or the
/// member of a sorted set, `rk2` (of the local index of that name) is the score in eight bytes and
/// the member, `v` the value. Hash fields are attributes, `~` and the field in base64. An attribute
/// `t` in a hash is ours, and guards the removal and replacement of emptied ones and the writes of
/// more than 250 fields; the Go library leaves it alone, so that a field which it sets in the very
/// moment may be lost. A hash that an atomic write has emptied leaves an item with nothing but keys
/// and `t`, which is nothing here, and something to the conditions of the Go library.
///
/// Strings are binary, digits too. The first `incr_by` turns digits into a number. This library
/// treats both alike, the Go library does not: its `SetEQ` with text matches text only; its
/// `IncrBy`, and its `SetEQ` with an `int`, match numbers only. Where Go programs increment a
/// counter, start it with `incr_by`, not with `set`.
///
/// Members of equal scores are in the order of their bytes, with one exception. This library never
/// writes `-0.0`, but other programs may. Such a member is answered with `0.0` and found in every
/// range that includes 0, but stands before all members of `0.0` until it is written again.
///
/// # Other types
///
/// Strings, counters, sets and hashes know each other, and a key that holds another one of them
/// answers `WrongType`. Sorted sets are other items: a key that is misused as both holds both, each
/// as though the other were absent, and `delete` removes one with each call. (But the member `_` of
/// a sorted set is where the other types are, and a `set` replaces it.)
///
/// An atomic `delete` cannot see a sorted set: it commits and changes nothing, where other backends
/// answer `WrongType`. The conditions of an atomic `set_nx` or `set_xx` do not see one either.
#[derive(Clone, Debug)]
pub struct DynamoDb(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    reads: Arc<dyn DynamoApi>,
    writes: Arc<dyn DynamoApi>,
    table: String,
    options: DynamoDbOptions,
}

impl DynamoDb {
    /// The table `table` through a client of the SDK. All settings of the client are kept, its
    /// timeouts included, except its retries and its stalled stream protection: see
    /// [`DynamoClient`].
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        DynamoDb::with_api(DynamoClient::new(client), table)
    }
    /// The table `table` through whatever makes the nine calls.
    pub fn with_api(api: impl DynamoApi, table: impl Into<String>) -> Self {
        let api: Arc<dyn DynamoApi> = Arc::new(api);
        let options = DynamoDbOptions::default();
        DynamoDb(Arc::new(Inner { reads: api.clone(), writes: api, table: table.into(), options }))
    }
    /// Opens the table that `url` names, with the default [`DynamoDbOptions`], which tell what URLs
    /// there are.
    ///
    /// # Errors
    /// As [`DynamoDbOptions::open`].
    pub async fn open(url: impl AsRef<str>) -> Result<Self> {
        DynamoDbOptions::new().open(url).await
    }
    /// The same with reads through another client, such as one of DAX. What a write depends on is
    /// never read there.
    #[must_use]
    pub fn with_reads(self, api: impl DynamoApi) -> Self {
        DynamoDb(Arc::new(Inner { reads: Arc::new(api), ..Arc::unwrap_or_clone(self.0) }))
    }
    /// Replaces the timeouts and the retry settings. URL options are ignored.
    #[must_use]
    pub fn with_options(self, options: DynamoDbOptions) -> Self {
        DynamoDb(Arc::new(Inner { options, ..Arc::unwrap_or_clone(self.0) }))
    }
}

impl Store {
    /// A store on the table `table`, through a client of the SDK's that you have made: short for
    /// `Store::new(`[`DynamoDb::new`]`(client, table))`.
    pub fn dynamodb(client: Client, table: impl Into<String>) -> Self {
        Store::new(DynamoDb::new(client, table))
    }
}

impl Backend for DynamoDb {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        let clock = Clock::start(&self.0);
        read_alone(&Trip::new(cx, &self.0, &clock), op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        let clock = Clock::start(&self.0);
        write_alone(&Trip::new(cx, &self.0, &clock), op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let clock = Clock::start(&self.0);
        batch::batch(&Trip::new(cx, &self.0, &clock), ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let clock = Clock::start(&self.0);
        atomic::transact(&Trip::new(cx, &self.0, &clock), writes).await
    }
}

async fn read_alone(trip: &Trip<'_>, op: &Read) -> Result<Reply> {
    match (op, read::item_of(op)) {
        (Read::ZCount(op), _) => range::count(trip, op).await,
        (Read::ZRange(op), _) => range::range(trip, op).await,
        (op, Some(rk)) => read::one(trip, op, rk).await,
        (op, None) => read::answer(op, None),
    }
}

/// The range key of the item that a write changes.
fn rk_of(op: &Write) -> &[u8] {
    op.target().member.map_or(PLAIN, |member| member)
}

async fn write_alone(trip: &Trip<'_>, op: &Write) -> Result<Reply> {
    if let Write::Delete(op) = op {
        return delete(trip, &op.key).await.map(Reply::Applied);
    }
    let (mut step, mut lost) = (first(op)?, Tries::default());
    loop {
        step = match step {
            Step::Do(action, done) => match action.apply(trip).await {
                Ok(Ok(attributes)) => {
                    if done == Done::Removed {
                        sweep(trip, op.key(), attributes.as_ref()).await;
                    }
                    return reply(done, attributes.as_ref());
                }
                Ok(Err(found)) => after(trip, op, found, &mut lost).await?,
                Err(e) => return Err(trip.write_error(e)),
            },
            Step::Look(rk) => informed(op, read::strong(trip, op.key(), &rk).await?.as_ref())?,
            Step::Mark => match marking(op.key()).apply(trip).await {
                Ok(Ok(item)) => informed(op, item.as_ref())?,
                Ok(Err(found)) => after(trip, op, found, &mut lost).await?,
                Err(e) => return Err(trip.read_error(e)),
            },
            Step::Failed => return Ok(Reply::Applied(false)),
            Step::Nothing(_) => return Ok(Reply::Done),
        };
    }
}

/// What to do after a condition that has failed. The second time it was found otherwise than the
/// time before, so that another writer was faster.
async fn after(trip: &Trip<'_>, op: &Write, found: Found, lost: &mut Tries) -> Result<Step> {
    let step = match found {
        Found::Item(item) => informed(op, Some(&item))?,
        Found::Nothing => informed(op, None)?,
        Found::Untold => informed(op, read::strong(trip, op.key(), rk_of(op)).await?.as_ref())?,
    };
    let is_end = matches!(step, Step::Failed | Step::Nothing(_));
    if lost.is_first() || is_end {
        lost.count();
    } else if !trip.give_way(lost).await {
        return Err(contention());
    }
    Ok(step)
}

/// Removes what is left of a hash whose last field was removed. The write is done already: if this
/// fails, what is left is nothing to whoever reads.
async fn sweep(trip: &Trip<'_>, key: &Key, item: Option<&Item>) {
    if let Holds::Leftover(Some(mark)) = holds(item) {
        let _ = sweeping(key, mark).apply(trip).await;
    }
}

/// Removes the one item of most types and, if there is none, the items of a sorted set.
async fn delete(trip: &Trip<'_>, key: &Key) -> Result<bool> {
    let delete = Action::delete(key, PLAIN).returning(ReturnValue::AllOld);
    let old = match delete.apply(trip).await {
        Ok(Ok(old)) => old,
        Ok(Err(_)) => return Err(Error::new(crate::ErrorKind::Other, "there was no condition")),
        Err(e) => return Err(trip.write_error(e)),
    };
    // What comes next is many pieces, or none.
    trip.made_progress();
    match holds(old.as_ref()) {
        Holds::Text(_) | Holds::Set(_) | Holds::Hash(_) => Ok(true),
        Holds::Nothing | Holds::Leftover(_) => range::delete_all(trip, key, false).await,
        Holds::Member(_) => range::delete_all(trip, key, true).await,
    }
}
