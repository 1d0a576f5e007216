//! [`DynamoDb`]: a backend on one table of DynamoDB.
//!
//! | file | contents |
//! |---|---|
//! | `single.rs`, `batch.rs`, `atomic.rs` | single operations, batches, atomic writes |
//! | `write/` | the requests of each write |
//! | `read.rs`, `range.rs`, `batch_write.rs` | reads of items, of ranges; groups of writes |
//! | `items.rs` | the layout: items from keys and values, and back |
//! | `action.rs` | a conditional write of one item |
//! | `call.rs`, `response.rs` | one request: timeout, retries, backoff, observer |
//! | `flow.rs` | flow control of a batch |
//! | `api.rs`, `error.rs` | the nine calls of DynamoDB as a trait, and their errors |
//! | `translate.rs`, `codes.rs` | the errors of the SDK and of the service |
//! | `send_tracker.rs` | whether a failed request was sent |
//! | `options.rs`, `setup.rs`, `setup/` | options and URLs; the table and its policy |
//! | `cost.md` | the capacity of each operation; a test generates it |
//!
//! This file has the type, its documentation, and how it is opened.

mod action;
mod api;
mod atomic;
mod batch;
mod batch_write;
mod call;
mod codes;
mod error;
mod flow;
mod items;
mod options;
mod range;
mod read;
mod response;
mod send_tracker;
mod setup;
mod single;
mod translate;
mod write;

pub use api::{DynamoApi, DynamoClient};
pub use error::{DynamoError, DynamoResult};
pub use options::DynamoDbOptions;

use super::{Backend, Context};
use crate::op::{Op, Read, Reply, Write};
use crate::{Error, Outcome, Result};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_smithy_http_client::Builder as HttpClient;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use call::{ProgressDeadline, RequestContext, Table};
use std::sync::Arc;

/// A backend on one table of DynamoDB.
///
/// ```no_run
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{DynamoDb, Store};
/// let store = Store::new(DynamoDb::open("dynamodb://table?region=eu-central-1").await?);
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// - **Open**: [`open`](Self::open) takes a URL, and uses the credentials that the SDK finds.
///   [`new`](Self::new) takes a client of the SDK.
/// - **Create the table**: [`create_table`](Self::create_table), `create_table=true` in the URL,
///   [`CLOUDFORMATION`](Self::CLOUDFORMATION) or [`TERRAFORM`](Self::TERRAFORM). The program needs
///   the permissions of [`IAM_POLICY`](Self::IAM_POLICY).
/// - **Configure**: [`DynamoDbOptions`] has timeouts, retries and concurrency.
/// - **Test**: `endpoint=http://127.0.0.1:8000` in the URL connects to DynamoDB Local or another
///   server. [`with_api`](Self::with_api) takes a test double.
///
/// Every call needs a tokio runtime with timers and I/O (`Builder::enable_all`). Without one it
/// returns `Unsupported`.
///
/// # Cost
///
/// An operation is one request, except:
///
/// | operation | requests |
/// |---|---|
/// | `zincr_by` | one more: it reads first |
/// | `srem` of as many members as the set has, `hdel` of the last fields | one more |
/// | `delete` of a key without string, counter, set or hash | one more: a `Query` for members |
/// | `delete` of a sorted set | pages of `Query`, and a `BatchWriteItem` per 25 members |
/// | the first `incr_by` after a `set` | one more: `set` has written a string |
/// | `set_xx` over a hash | one more |
/// | a write over a hash whose last field an atomic write removed | one more; two if the Go library removed it |
/// | `hset` and `hdel` of more than 250 fields | one more: they read the hash and put it whole |
/// | ranges | one per page of 1 MB |
///
/// A write that conflicts with another one is retried.
///
/// An atomic write is one transaction, which costs twice the capacity of its writes. A `zincr_by`
/// in it adds a read. In the cases of the table above, and where it removes what does not exist, it
/// takes a second transaction.
///
/// The capacity of some operations grows with the stored data:
///
/// - `zcount`, `zlexcount`, `zrange` and `zhrange` read every member of the range, or `n` with
///   `limit(n)`. They read the values also where they do not return them, as the index contains
///   them. A count therefore costs as much as reading the range: a unit per 4 KB.
/// - `delete` of a sorted set reads all of it, and then writes each member twice, in the table and
///   in the index.
/// - `smembers`, `hgetall` and `hget` read the whole set or hash.
/// - A write to a set or hash costs its whole size, before or after the write, whichever is larger.
///
/// A batch reads in groups of 100 items and writes in groups of 25 items or 1 MB, concurrently (see
/// [`max_concurrency`](DynamoDbOptions::max_concurrency)). Only `set`, `zadd`, `zhadd`, `zrem` and
/// `zhrem` are grouped. Every other write is a request of its own. Operations of a batch that
/// conflict are sent one after another.
///
/// Capacity units for a value of 100 bytes (a larger item costs as much again for each KB written,
/// and for each 4 KB read):
#[doc = ""]
#[doc = include_str!("cost.md")]
///
/// [`eventually_consistent`](crate::Store::eventually_consistent) reads cost half. An
/// [`Observer`](crate::observe::Observer) receives every request, its capacity units in table and
/// index, and every retry. A failed condition costs as much as the write; the service does not
/// report that.
///
/// # Limits of the service
///
/// - An atomic write has at most 100 items and 4 MB. It is one request, so `attempt_timeout` must
///   be long enough for it.
/// - An item has at most 400 KB. A set or hash is one item; each member of a sorted set is an item.
/// - All items of one key are in one partition. Together with the index they have at most 10 GB,
///   and a throughput of 1,000 write units and 3,000 read units a second, whatever the capacity of
///   the table. A sorted set of 10 million members of 100 bytes fits, and some 300 changes of
///   scores a second, at 3 units each. Split a leaderboard with more changes into several keys.
///
/// # Failures
///
/// Reads are retried after every transient failure. Writes are retried only if they are known not
/// to be applied: the service rejected the request with a status of 4xx, or it was never sent for
/// lack of credentials or of a connection. If the response to a write is lost, late, of status 5xx,
/// or cannot be parsed (the page of a proxy), the [outcome is
/// unknown](crate::Error::outcome_is_unknown). An atomic write has an idempotency token: it is
/// retried in these cases, too, and applied once. The SDK's own retries are off.
///
/// Retries wait with exponential backoff and jitter. Timeouts and attempts are limited: see
/// [`DynamoDbOptions`]. Error messages contain the table and, if known, the address of the server.
///
/// `AccessDenied` means that there are no credentials, or that the service rejects them. If the
/// signature has expired, the message mentions the clock. If a provider of credentials fails, the
/// error is `Unavailable`, and the call is retried.
///
/// `delete` of a sorted set is not atomic. It deletes page by page, and retries while it makes
/// progress. If it fails, some members may be deleted. Call it again to delete the others.
///
/// # Layout
///
/// The layout is that of the Go library keyvaluestore, and each can read the other's data.
///
/// | attribute | contents |
/// |---|---|
/// | `hk` | hash key: the key |
/// | `rk` | range key: `_`, or the member of a sorted set |
/// | `rk2` | range key of the local index `rk2`: the score in eight bytes, and the member |
/// | `v` | the value |
/// | `~` and the field in base64 | the value of a hash field |
/// | `t` | a random tag of a hash from which fields were removed |
///
/// The attribute `t` is this library's. It is the optimistic lock for deleting and replacing
/// emptied hashes, and for writes of more than 250 fields. The Go library does not change it, so a
/// field that it sets at the same moment may be lost. A hash that an atomic write has emptied
/// remains as an item without fields. It is an absent key here, but an existing one for the
/// conditions of the Go library.
///
/// Strings are stored as binary, digits included. The first `incr_by` replaces digits by a number.
/// This library treats both alike, but the Go library does not: its `SetEQ` with a string matches
/// binary only, and its `IncrBy` and its `SetEQ` with an `int` match numbers only. If Go programs
/// increment a counter, create it with `incr_by`, not with `set`.
///
/// Members of equal scores are in the order of their bytes, with one exception. This library never
/// writes `-0.0`, but other programs may. Such a member has the score `0.0`, and is in every range
/// that includes 0, but sorts before all members of `0.0` until it is written again.
///
/// # Type errors
///
/// An operation on a string, counter, set or hash returns `WrongType` if the key has another one of
/// these types. Sorted sets are stored in other items, and do not conflict with them: a key may
/// have both, each operation sees its own, and each `delete` deletes one of them. The exception is
/// the member `_` of a sorted set, which is the same item as a string; `set` replaces it.
///
/// An atomic `delete` does not see a sorted set. It commits and changes nothing, where other
/// backends return `WrongType`. Nor do the conditions of an atomic `set_nx` or `set_xx` see one.
#[derive(Clone, Debug)]
pub struct DynamoDb(Arc<Table>);

impl DynamoDb {
    /// Uses a client of the SDK. Keeps all its settings, timeouts included, except its retries and
    /// its stalled stream protection: see [`DynamoClient`].
    ///
    /// Not covered by semver: `Client` is a type of `aws-sdk-dynamodb`, and a minor version may
    /// move to another major version of it.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        DynamoDb::with_api(DynamoClient::new(client), table)
    }
    /// Uses another implementation of the nine calls: a wrapper, or a test double.
    pub fn with_api(api: impl DynamoApi, table: impl Into<String>) -> Self {
        let api: Arc<dyn DynamoApi> = Arc::new(api);
        let options = DynamoDbOptions::default();
        DynamoDb(Arc::new(Table { name: table.into(), reads: api.clone(), writes: api, options }))
    }
    /// Opens a table with the default [`DynamoDbOptions`], whose documentation describes the URLs.
    ///
    /// # Errors
    /// As [`DynamoDbOptions::open`].
    pub async fn open(url: impl AsRef<str>) -> Result<Self> {
        DynamoDbOptions::new().open(url).await
    }
    /// Uses another client for reads, such as one of DAX. Reads that a write depends on do not use
    /// it.
    #[must_use]
    pub fn with_reads(self, api: impl DynamoApi) -> Self {
        DynamoDb(Arc::new(Table { reads: Arc::new(api), ..Arc::unwrap_or_clone(self.0) }))
    }
    /// Replaces the timeouts, the retry settings and the concurrency. URL options are ignored.
    #[must_use]
    pub fn with_options(self, options: DynamoDbOptions) -> Self {
        DynamoDb(Arc::new(Table { options, ..Arc::unwrap_or_clone(self.0) }))
    }
}

impl DynamoDbOptions {
    /// Opens the table of a URL, with the credentials that the SDK finds. Sends no request to
    /// DynamoDB, except with `create_table=true`.
    ///
    /// # Errors
    /// `InvalidArgument` if the URL or the name of the table is invalid, or no region is
    /// configured; `Unsupported` without a tokio runtime with timers and I/O
    /// (`Builder::enable_all`); and the errors of [`create_table`](DynamoDb::create_table).
    pub async fn open(self, url: impl AsRef<str>) -> Result<DynamoDb> {
        let (table, options) = self.parse_url(url.as_ref())?;
        // The SDK may look for the region in the network.
        crate::runtime::require_drivers()?;
        // The same TLS as the other backends: rustls with ring.
        let http = HttpClient::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut config = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
        if let Some(region) = &options.region {
            config = config.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &options.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let shared = config.load().await;
        let mut config = aws_sdk_dynamodb::config::Builder::from(&shared);
        match (shared.region(), &options.endpoint) {
            (Some(_), _) => {}
            // DynamoDB Local has no region, but the signature needs one.
            (None, Some(_)) => config = config.region(Region::from_static("us-east-1")),
            (None, None) => {
                return Err(Error::invalid(
                    "there is no region: add `?region=…` to the URL, or set AWS_REGION",
                ));
            }
        }
        let client = Client::from_conf(config.build());
        if options.create_table {
            DynamoDb::create_table(&client, &table).await?;
        }
        Ok(DynamoDb::with_api(DynamoClient::with_hyper(client), table).with_options(options))
    }
}

impl Backend for DynamoDb {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        let deadline = ProgressDeadline::start(&self.0);
        single::read(&RequestContext::new(cx, &self.0, &deadline), op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        let deadline = ProgressDeadline::start(&self.0);
        single::write(&RequestContext::new(cx, &self.0, &deadline), op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let deadline = ProgressDeadline::start(&self.0);
        batch::batch(&RequestContext::new(cx, &self.0, &deadline), ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let deadline = ProgressDeadline::start(&self.0);
        atomic::transact(&RequestContext::new(cx, &self.0, &deadline), writes).await
    }
}
