//! [`Redis`]: one server with its replicas, or a cluster.
//!
//! | file | contents |
//! |---|---|
//! | `options.rs` | URLs and options |
//! | `client.rs` | single operations: picks the server, resends a script that the server lost |
//! | `read.rs`, `batch.rs` | reads, also of ranges too long for one reply; batches |
//! | `pipeline_size.rs` | how much one pipeline sends and asks for |
//! | `commands.rs`, `replies.rs` | each operation as one command, each RESP value as a reply |
//! | `atomic.rs` | atomic writes: the arguments of `scripts/transact.lua` |
//! | `scripts.rs`, `scripts/` | the operations for which Redis has no command |
//! | `keys.rs` | cluster slots; the key of a value hash |
//! | `connection.rs`, `backoff.rs` | one shared connection, its timeouts and its reconnects |
//! | `connect.rs`, `tls.rs`, `handshake.rs` | TCP, TLS, `HELLO`; the errors of connecting |
//! | `cluster/` | slot map, redirections, pipelines over several nodes |
//! | `errors.rs` | Redis errors as errors of this library |
//!
//! The path of a call: `client.rs` encodes it (`commands.rs`) and sends it (`connection.rs`, or
//! `cluster/`, which picks the connection), then decodes the answer (`replies.rs`).

mod atomic;
mod backoff;
mod batch;
mod client;
mod cluster;
mod command;
mod commands;
mod connect;
mod connection;
mod errors;
mod handshake;
mod keys;
mod options;
mod pipeline_size;
mod read;
mod replies;
mod scripts;
mod tls;

pub use options::RedisOptions;

use super::{Backend, Context};
use crate::op::{Op, Read, Reply, Write};
use crate::{Outcome, Result};
use client::{Client, Servers};
use keys::{DefaultMark, KeyScheme};
use std::sync::Arc;

/// The name in errors, metrics and logs.
const BACKEND: &str = "redis";

/// A store on Redis 6.2 or later: one server, or a cluster.
///
/// ```no_run
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{Redis, Store};
/// let store = Store::new(Redis::open("redis://127.0.0.1/").await?);
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// - **Open**: [`Redis::open`] with a URL, or [`Store::open`](crate::Store::open) with the same
///   URL.
/// - **Configure**: [`RedisOptions`] lists the URLs, timeouts, TLS and replicas.
/// - **Test**: unit tests can use [`Memory`](crate::Memory), which has the same semantics.
///   Integration tests need a `redis-server`.
///
/// Calls need a tokio runtime with timers and I/O (`Builder::enable_all`). Without one they fail
/// with `Unsupported`. Errors name the server as `host:port`.
///
/// # Behavior
///
/// - **Connection**: all callers share one connection to each server, multiplexed. It is opened by
///   `open` or by the first call that needs it.
/// - **Disconnected**: calls in flight fail with `Unavailable`. If a write was in flight,
///   [`outcome_is_unknown`](crate::Error::outcome_is_unknown) is true. The next call reconnects.
/// - **Timed out**: a call without an answer within
///   [`response_timeout`](RedisOptions::response_timeout) fails with `Timeout`. Later calls use a
///   new connection; other calls in flight keep waiting on the old one.
/// - **Connecting**: all calls wait for the same attempt, at most
///   [`connect_timeout`](RedisOptions::connect_timeout). Dropping a call does not cancel the
///   attempt.
/// - **Backoff**: after a failed attempt, the next one waits for 50 ms, doubling up to 1 s, with
///   jitter. Calls in between fail at once with `Unavailable`, and their writes are known not to be
///   applied. If the last attempt failed with `AccessDenied` or `Unsupported`, they fail with
///   that kind. A
///   successful attempt resets the backoff.
/// - **Demoted**: if the primary answers `READONLY`, the next call reconnects, at most once a
///   second, because the host name may now lead to another primary.
/// - **Retries**: no command is sent twice unless the server did not receive it, or said that it
///   did not run it. To retry more, use [`Retry`](crate::wrap::Retry).
///
/// # Cost
///
/// Each operation, batch and atomic write is one command or one pipeline, so one round trip. These
/// take more:
///
/// - `zhrange` of more than 1,000 entries or 4 MiB of values, and
///   `zrange(k).by_lex(r).with_scores()` of more than 1,000: two round trips, and one more for
///   every few megabytes of values.
/// - A batch of more than 4 MiB of requests, of more than 10,000 commands or of more than 128
///   reads. The first pipeline has at most 128 reads. Each later one has as many as fit into 4 MiB
///   of replies, estimated from the last replies, and at most 16 times as many as the last one. So
///   2,000 reads of short values take two round trips, and 10,000 take three.
/// - A batch that reads a range of a key, without a limit of at most 1,000, and then writes to that
///   key.
/// - A script that the server does not have yet, or no longer: it is resent with its source.
///
/// # Layout
///
/// Strings, counters, sets and hashes are Redis strings, sets and hashes. A sorted set is a Redis
/// sorted set. The values of a sorted hash are in a second key, its *value hash* (also called
/// companion hash): `__kvs_zh:` followed by the key. In a cluster it is `__kvs_zh{key}`, so that
/// both keys are in one slot. The Go library keyvaluestore has the same layout. Keys that start
/// with `__kvs_zh` are refused.
///
/// The field with the empty name in a value hash is its *mark*. The Go library neither reads nor
/// writes it. It says what a member without a value means: `own`, the member is its own value;
/// `lost`, the value may be lost. A sorted set without any value also has a value hash, with only
/// the mark: a key of about 90 bytes. Members and fields of sorted sets cannot be empty, even
/// without limits.
///
/// # Lost values
///
/// Turn eviction off (`maxmemory-policy` `noeviction`, or `volatile-…`) if data has to stay. Redis
/// evicts each key separately: it may evict a value hash and keep its sorted set. Other programs do
/// the same damage if they delete, rename, restore or expire one of the two keys alone. `zhget` and
/// `zhrange` of a lost value return `Corrupt`; they never return the field instead. `zrange`,
/// `zscore`, `zcount` and all writes still work. `zhadd` of a field gives it a value again, and
/// `delete` removes everything. Two states cannot be told apart from intact ones:
///
/// - A sorted set that another program created without any value has no value hash. `zhget` and
///   `zhrange` of it are `Corrupt`, unless
///   [`fields_as_values`](RedisOptions::fields_as_values) is on.
/// - A value hash that was lost and then created again by another program has no mark. Members
///   that are not in it count as their own values.
///
/// # Large values
///
/// The [`response_timeout`](RedisOptions::response_timeout) applies to each command or pipeline,
/// and all callers share a connection: a large reply delays the replies behind it. Batches and
/// `zhrange` are sent in pieces of a few megabytes. They succeed as long as each piece is in time,
/// and other calls are sent between the pieces.
///
/// These are not split: `smembers`, `hgetall`, and the members of `zrange`; `sadd`, `srem`, `hset`
/// and `hdel` of many members; atomic writes; within a batch, `zhrange` with a limit of at most
/// 1,000. The pieces of a read would not be from one moment, and a write could be applied in part.
/// Spread large collections over several keys, or raise the timeout.
///
/// If a piece of a batch times out, or no connection can be made, the rest of the batch is not
/// sent. It fails with the same error, and its writes are known not to be applied. (In a cluster
/// the rest is sent, as other servers may answer.)
///
/// # In a cluster
///
/// The store asks several nodes at once which server has which slot. While slots move or servers
/// fail, calls keep using the last slot map, which is refreshed in the background. A call waits for
/// the refresh only if the map has no server for its key, or an unreachable one.
///
/// A batch is split by server, and all parts run at once. All keys of an atomic write must be in
/// one slot; otherwise it fails with `InvalidArgument`. Give such keys a common hash tag,
/// `user:{7}` and `mail:{7}`.
///
/// # Permissions
///
/// A user needs these keys and commands:
///
/// ```text
#[doc = include_str!("acl.txt")]
/// ```
///
/// - `~*` allows all keys. With a [`Prefix`](crate::wrap::Prefix) `app`, `~app:* ~__kvs_zh:app:*`
///   is enough.
/// - `+select` is for databases other than 0.
/// - A cluster needs `+asking +readonly +cluster|slots` as well (before Redis 7 `+cluster`). There
///   a prefix `{app}` needs `~{app}:* ~__kvs_zh:{app}:*`, and a prefix `app` needs `~app:*
///   ~__kvs_zh:app:* ~__kvs_zh{app:* ~__kvs_zh{*}:app:*`.
///
/// A denied call fails with `AccessDenied`, and nothing is applied. Before Redis 7 a script cannot
/// ask for permissions: an atomic write of which a part is denied may be applied in part.
///
/// # Other types
///
/// An operation on a key that holds another type fails with `WrongType`. Exceptions: `set` replaces
/// a key of any type (in an atomic write, of any type except a sorted set), and `get` in a batch
/// finds nothing.
#[derive(Clone, Debug)]
pub struct Redis(Arc<Client>);

impl Redis {
    /// Connects to the server or cluster that `url` names, with the default [`RedisOptions`], which
    /// list the URLs.
    ///
    /// # Errors
    /// The errors of [`RedisOptions::open`].
    pub async fn open(url: impl AsRef<str>) -> Result<Self> {
        RedisOptions::new().open(url).await
    }

    fn new(servers: Servers, default_mark: DefaultMark) -> Self {
        let cluster = matches!(servers, Servers::Cluster(_));
        Redis(Arc::new(Client { servers, key_scheme: KeyScheme { cluster, default_mark } }))
    }
}

impl Backend for Redis {
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
