//! [`Redis`]: one server with its replicas, or a cluster.
//!
//! | file | what it knows |
//! |---|---|
//! | `options.rs` | URLs and options |
//! | `commands.rs`, `replies.rs` | every operation as one command, every answer as a reply |
//! | `scripts.rs`, `scripts/` | the operations that Redis has no command for, and atomic writes |
//! | `batch.rs` | batches: what goes into one pipeline, and what becomes one command |
//! | `range.rs` | ranges that are too long for one answer |
//! | `window.rs` | how much goes out, and is asked for, at once |
//! | `keys.rs` | slots, and the hash beside a sorted set |
//! | `link.rs`, `backoff.rs` | one connection that is made again when it is lost |
//! | `connect.rs`, `greeting.rs` | how it is made: TCP, TLS, sign-in; what goes wrong there |
//! | `cluster.rs`, `spread.rs` | redirections, of one command and of pipelines |
//! | `topology.rs`, `slots.rs` | which server has which slot, refreshed in the background |
//! | `errors.rs` | what Redis says, as errors of this library |
//!
//! This file puts them together: it picks the server, and sends a script again that the server has
//! forgotten.

mod backoff;
mod batch;
mod cluster;
mod commands;
mod connect;
mod errors;
mod greeting;
mod keys;
mod link;
mod options;
mod range;
mod replies;
mod scripts;
mod slots;
mod spread;
mod topology;
mod window;

pub use options::RedisOptions;

use super::{Backend, Consistency, Context};
use crate::observe::RoundTripGuard;
use crate::op::{Op, Read, Reply, Write};
use crate::{Error, ErrorKind, Outcome, Result};
use ::redis::{Cmd, Pipeline, ServerErrorKind, Value as Answer};
use cluster::Cluster;
use commands::{Bare, Naming};
use link::{Failure, Link};
use scripts::By;
use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use window::BYTES;

const BACKEND: &str = "redis";

/// More than this a server takes for a violation of its protocol.
const ARGUMENTS: usize = 1 << 20;

/// A store on Redis 6.2 or later: one server, or a cluster.
///
/// All callers share one connection to each server. It is made when it is first needed, and again
/// after it is lost: a call that was under way then fails with `Unavailable` (or `Timeout`), saying
/// of a write that its outcome is unknown, and later calls go through a new one. No command is sent
/// twice unless the server has not seen it, or said that it did not run it.
///
/// The first attempt to connect is immediate. After one that fails there is a pause, with
/// exponential backoff from 50 ms to 1 s and jitter. Calls in the pause fail at once with
/// `Unavailable`, and known not to be applied; if the server denies access, or cannot be used at
/// all, they fail with that kind instead. A connection that is made ends the backoff.
///
/// Calls need a tokio runtime with timers and I/O (`Builder::enable_all`), and fail with
/// `Unsupported` without one. Errors name the server, `host:port`.
///
/// Every operation, batch and atomic write is one command or one pipeline, and so one round trip.
/// These take more:
///
/// - `zhrange` of more than 1,000 entries or of more than 4 MiB of values, and `zrange` by member
///   with scores of more than 1,000 entries: one trip that finds that out, one for the members, and
///   one for every few megabytes of values.
/// - A batch of more than 4 MiB of requests, of more than 10,000 commands or of more than 128
///   reads. After the first 128 reads a pipeline holds as many as 4 MiB of answers hold, judged by
///   the last answers, and at most 16 times as many as the last pipeline. So 2,000 reads of short
///   values are two trips, and 10,000 are three.
/// - A batch that reads a range of a key without a limit of at most 1,000, and then writes to that
///   key.
/// - A script that the server has forgotten, or has not seen yet: it is sent again with its text.
///
/// ```no_run
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{Redis, Store};
/// let store = Store::new(Redis::open("redis://127.0.0.1/").await?);
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// # Layout
///
/// Strings, counters, sets and hashes are Redis's own, and a sorted set is a sorted set. The values
/// of a sorted hash are in a hash beside it, its companion: `__kvs_zh:` and the key (in a cluster
/// `__kvs_zh{key}`, so that both are in one slot). The Go library keyvaluestore has the same
/// layout. Keys that start with `__kvs_zh` are refused.
///
/// The field of a companion with the empty name is a mark, which Go neither reads nor writes. It
/// says what a member without a value is: `own`, its own value; `lost`, a member whose value may be
/// lost. A sorted set without any value has a companion, too, with the mark alone: a key of about
/// 90 bytes. Members and fields of sorted sets cannot be empty, also without limits.
///
/// # Lost values
///
/// Turn eviction off (`maxmemory-policy` `noeviction`, or `volatile-…`) if data has to stay. Redis
/// evicts every key by itself: a companion, and not its sorted set. Other programs can do the same
/// damage: they delete, rename, restore or expire one of the two keys alone. `zhget` and `zhrange`
/// of a lost value return `Corrupt`; they never answer the field in its place. `zrange`, `zscore`,
/// `zcount` and all writes work as before. `zhadd` of a field gives it a value again, and `delete`
/// removes everything. Two states cannot be told apart from others:
///
/// - A sorted set that another program has made without any value has no companion. `zhget` and
///   `zhrange` of it are `Corrupt`, unless
///   [`fields_as_values`](RedisOptions::fields_as_values) is on.
/// - A companion that was lost, and made again by another program, has no mark. The members that
///   are not in it count as their own values.
///
/// # Large values
///
/// The [`response_timeout`](RedisOptions::response_timeout) holds for each command or pipeline, and
/// all callers share a connection: a large answer delays those behind it. Batches and `zhrange` are
/// sent in pieces of a few megabytes. They succeed as long as every piece is in time, and other
/// callers get between the pieces.
///
/// These are not split: `smembers`, `hgetall`, and the members of `zrange`; `sadd`, `srem`, `hset`
/// and `hdel` of many members; atomic writes; within a batch, `zhrange` with a limit of at most
/// 1,000. The pieces of a read would be of several moments, and those of a write could be applied
/// in part. Spread large collections over several keys, or raise the timeout.
///
/// If a piece of a batch times out, or no connection can be made, the rest of the batch is not
/// sent. It fails with the same error, and its writes are known not to have been applied. (In a
/// cluster the rest is sent, as other servers may answer.)
///
/// # In a cluster
///
/// Which server has which slot is learned from the servers, of whom several are asked at once.
/// While slots move or servers fail, the last map goes on serving and is refreshed in the
/// background: calls wait for it only if the last one names no server for them, or one that cannot
/// be reached.
///
/// A batch is split by server, and all parts run at once. An atomic write needs all of its keys in
/// one slot, and is refused with `InvalidArgument` otherwise: give such keys a common part in
/// braces, `user:{7}` and `mail:{7}`.
///
/// # Permissions
///
/// A user needs these keys and commands:
///
/// ```text
#[doc = include_str!("acl.txt")]
/// ```
///
/// - `~*` is for all keys. With a [`Prefix`](crate::wrap::Prefix) `app`, `~app:* ~__kvs_zh:app:*`
///   is enough.
/// - `+select` is for databases other than 0.
/// - A cluster needs `+asking +readonly +cluster|slots` as well (before Redis 7 `+cluster`). There
///   a prefix `{app}` needs `~{app}:* ~__kvs_zh:{app}:*`, and a prefix `app` needs `~app:*
///   ~__kvs_zh:app:* ~__kvs_zh{app:* ~__kvs_zh{*}:app:*`.
///
/// What a user is not allowed fails with `AccessDenied`, and nothing is applied. Before Redis 7 a
/// script cannot ask for permissions: an atomic write of which a part is denied may be applied in
/// part.
///
/// # Other types
///
/// A key that holds another type answers `WrongType`, except that `set` replaces whatever is there,
/// and that in a batch `get` finds nothing.
#[derive(Clone, Debug)]
pub struct Redis(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    servers: Servers,
    naming: Naming,
}

#[derive(Debug)]
enum Servers {
    One { primary: Link, replicas: Vec<Link>, turn: AtomicUsize },
    Cluster(Cluster),
}

/// A command on its way: what it belongs to, which key it is about, and who may answer.
#[derive(Clone, Copy)]
struct Trip<'t> {
    cx: &'t Context,
    name: &'static str,
    key: &'t [u8],
    access: Access,
}

impl<'t> Trip<'t> {
    fn start(self) -> Option<RoundTripGuard<'t>> {
        RoundTripGuard::start(self.cx, BACKEND, self.name)
    }
    /// Tells the observer that what a server did not do is about to be sent again.
    fn again(self) {
        if let Some(observer) = &self.cx.observer {
            observer.on_retry(Some(BACKEND), ErrorKind::Unavailable);
        }
    }
}

/// Which server may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Primary,
    Replica,
}

impl Redis {
    /// Connects to the server or cluster that `url` names, with the default [`RedisOptions`]. They
    /// tell what URLs there are.
    ///
    /// # Errors
    /// As [`RedisOptions::open`] has them.
    pub async fn open(url: impl AsRef<str>) -> Result<Self> {
        RedisOptions::new().open(url).await
    }

    fn new(servers: Servers, bare: Bare) -> Self {
        let naming = Naming { cluster: matches!(servers, Servers::Cluster(_)), bare };
        Redis(Arc::new(Inner { servers, naming }))
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

fn access(cx: &Context) -> Access {
    match cx.consistency {
        Consistency::Eventual => Access::Replica,
        _ => Access::Primary,
    }
}

fn is_no_script(answer: &Answer) -> bool {
    matches!(answer, Answer::ServerError(e) if e.kind() == Some(ServerErrorKind::NoScript))
}

// What is rare is boxed, so that the futures of single calls stay small: they are moved on their
// way into a box.
impl Inner {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        keys::check_read(op)?;
        let trip = Trip { cx, name: op.name(), key: op.key(), access: access(cx) };
        let answer = self.send(trip, &self.naming.read(op, By::Hash, BYTES)).await;
        let mut answer = answer.map_err(|failure| failure.into_error(false))?;
        if is_no_script(&answer) {
            trip.again();
            let cmd = self.naming.read(op, By::Text, BYTES);
            let again = Box::pin(self.send(trip, &cmd)).await;
            answer = again.map_err(|failure| failure.into_error(false))?;
        }
        match op {
            Read::ZRange(op) if range::is_too_long(op, &answer) => {
                Box::pin(self.long_range(cx, op, trip.access)).await
            }
            op => replies::read(op, answer).map_err(|e| self.named(op.key(), e)),
        }
    }

    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        keys::check_write(op)?;
        let Some(cmd) = self.naming.write(op, By::Hash) else { return Ok(Reply::Done) };
        check_size(&cmd)?;
        let trip = Trip { cx, name: op.name(), key: op.key(), access: Access::Primary };
        let answer = self.send(trip, &cmd).await;
        let mut answer = answer.map_err(|failure| failure.into_error(true))?;
        if is_no_script(&answer)
            && let Some(cmd) = self.naming.write(op, By::Text)
        {
            trip.again();
            let again = Box::pin(self.send(trip, &cmd)).await;
            answer = again.map_err(|failure| failure.into_error(true))?;
        }
        replies::write(op, answer).map_err(|e| self.named(op.key(), e))
    }

    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let Some(first) = writes.first() else { return Ok(Outcome::Committed) };
        writes.iter().try_for_each(keys::check_write)?;
        if self.naming.cluster {
            let slot = keys::slot(first.key());
            if let Some(other) = writes.iter().position(|write| keys::slot(write.key()) != slot) {
                return Err(cross_slot(other));
            }
        }
        let cmd = self.naming.transact(writes, By::Hash);
        check_size(&cmd)?;
        let access = Access::Primary;
        let trip = Trip { cx, name: "atomic_write", key: first.key(), access };
        let answer = self.send(trip, &cmd).await;
        let mut answer = answer.map_err(|failure| failure.into_error(true))?;
        if is_no_script(&answer) {
            trip.again();
            let cmd = self.naming.transact(writes, By::Text);
            let again = Box::pin(self.send(trip, &cmd)).await;
            answer = again.map_err(|failure| failure.into_error(true))?;
        }
        replies::outcome(answer).map_err(|e| self.named(first.key(), e))
    }

    /// Names the server, if it is to blame: an answer that makes no sense, or a denial that a
    /// script reports.
    #[cold]
    fn named(&self, key: &[u8], error: Error) -> Error {
        match (error.kind(), &self.servers) {
            (ErrorKind::Other | ErrorKind::AccessDenied, Servers::One { primary, .. }) => {
                primary.named(error)
            }
            (ErrorKind::Other | ErrorKind::AccessDenied, Servers::Cluster(cluster)) => {
                cluster.named(keys::slot(key), error)
            }
            _ => error,
        }
    }

    async fn send(&self, trip: Trip<'_>, cmd: &Cmd) -> Result<Answer, Failure> {
        let primary = match &self.servers {
            Servers::One { primary, .. } => primary,
            Servers::Cluster(cluster) => return Box::pin(cluster.call(trip, cmd)).await,
        };
        if trip.access == Access::Replica
            && let Some(replica) = self.replica()
        {
            let _heard = trip.start();
            if let Ok(answer) = Box::pin(replica.call(cmd)).await
                && !is_out_of_order(&answer)
            {
                return replica.judge(answer);
            }
            trip.again();
        }
        let _heard = trip.start();
        primary.judge(primary.call(cmd).await?)
    }

    /// The next of the replicas.
    fn replica(&self) -> Option<&Link> {
        match &self.servers {
            Servers::One { replicas, turn, .. } => pick(replicas, turn),
            Servers::Cluster(_) => None,
        }
    }

    /// Sends many commands, each about one key; one answer for each.
    async fn send_all(
        &self,
        cx: &Context,
        access: Access,
        cmds: Vec<(&[u8], Cmd)>,
    ) -> Vec<Result<Answer, Failure>> {
        let primary = match &self.servers {
            Servers::One { primary, .. } => primary,
            Servers::Cluster(cluster) => return cluster.call_all(cx, access, cmds).await,
        };
        let trip = Trip { cx, name: "batch", key: &[], access };
        let count = cmds.len();
        let mut pipeline = Pipeline::with_capacity(count);
        for (_, cmd) in cmds {
            pipeline.add_command(cmd);
        }
        if access == Access::Replica
            && let Some(replica) = self.replica()
        {
            let _heard = trip.start();
            if let Ok(answers) = replica.call_all(&pipeline).await
                && !answers.iter().any(is_out_of_order)
            {
                return answers.into_iter().map(|answer| replica.judge(answer)).collect();
            }
            trip.again();
        }
        let _heard = trip.start();
        match primary.call_all(&pipeline).await {
            Ok(answers) => answers.into_iter().map(|answer| primary.judge(answer)).collect(),
            Err(failure) => (0..count).map(|_| Err(failure.clone())).collect(),
        }
    }
}

/// Whether a replica cannot serve.
fn is_out_of_order(answer: &Answer) -> bool {
    matches!(answer, Answer::ServerError(e) if matches!(errors::code(e), "MASTERDOWN" | "LOADING" | "BUSY"))
}

/// One after the other, except those that have failed and are not connected again.
fn pick<'l, L: Borrow<Link>>(links: &'l [L], turn: &AtomicUsize) -> Option<&'l L> {
    if links.is_empty() {
        return None;
    }
    let (a, b) = links.split_at(turn.fetch_add(1, Ordering::Relaxed) % links.len());
    b.iter().chain(a).find(|link| (*link).borrow().is_usable())
}

fn check_size(cmd: &Cmd) -> Result<()> {
    let count = cmd.args_iter().len();
    if count > ARGUMENTS {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("{count} arguments, and Redis takes {ARGUMENTS} in a command"),
        ));
    }
    Ok(())
}

#[cold]
fn cross_slot(other: usize) -> Error {
    Error::invalid(format!(
        "writes 0 and {other} are to keys in different slots of the cluster, and an atomic write \
         stays in one; give its keys a common hash tag, such as `{{7}}` in `user:{{7}}` and \
         `mail:{{7}}`"
    ))
}
