//! [`Redis`]: one server with its replicas, or a cluster.
//!
//! | file | what it knows |
//! |---|---|
//! | `options.rs` | URLs and options |
//! | `commands.rs` | every operation as one command, every answer as a reply |
//! | `scripts.rs`, `scripts/` | the operations that Redis has no command for, and atomic writes |
//! | `keys.rs` | slots, and the hash beside a sorted set |
//! | `link.rs` | one connection that heals |
//! | `cluster.rs` | which server has which slot, and redirections |
//! | `errors.rs` | what Redis says, as errors of this library |
//!
//! This file puts them together: it picks a server, folds the reads of a batch, and pages through long answers.

mod cluster;
mod commands;
mod errors;
mod keys;
mod link;
mod options;
mod scripts;

pub use options::RedisOptions;

use super::{Backend, Consistency, Context};
use crate::ops::{HGet, ZRange, ZScore};
use crate::{Error, ErrorKind, Op, Outcome, Range, Read, Reply, Result, Value, Write};
use ::redis::{Cmd, Pipeline, ServerErrorKind, Value as Answer};
use cluster::Cluster;
use commands::{Naming, PAGE, command, read_reply, write_reply};
use errors::unexpected;
use link::{Failure, Link};
use scripts::By;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const BACKEND: &str = "redis";

/// How many commands go out in one pipeline.
const PIPELINE: usize = 10_000;
/// More than this a server takes for a violation of its protocol.
const ARGUMENTS: usize = 1 << 20;

/// A store on Redis 6.2 or later: one server, or a cluster.
///
/// All callers share one connection to each server. It is made when it is first needed, and again after it is lost: a call
/// that was under way then fails with `Unavailable` (or `Timeout`), saying of a write that its outcome is unknown, and
/// later calls go through a new one. Nothing is ever sent twice, but for what a server has answered that it did not do.
///
/// Every operation, batch and atomic write is one command or one pipeline, and so one round trip. These take more:
/// `zhrange` (and `zrange` by member with scores) of more than 1,000 entries takes two, and a third one for the first
/// thousand; a batch of more than 10,000 operations takes one for each 10,000, and one more where it writes to what it has
/// read such a range of before, without a limit of at most 1,000; a script that the server has forgotten, or has not seen
/// yet, is sent again with its text.
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
/// Strings, counters, sets and hashes are Redis's own, and a sorted set is a sorted set. The values of a sorted hash are
/// in a hash beside it, `__kvs_zh:` and the key (in a cluster `__kvs_zh{key}`, so that both are in one slot), which is how
/// the Go library keyvaluestore has it. Keys that start with `__kvs_zh` are refused.
///
/// # In a cluster
///
/// A batch is split by server, and all parts run at once. An atomic write needs all of its keys in one slot, and is
/// refused with `InvalidArgument` otherwise: give such keys a common part in braces, `user:{7}` and `mail:{7}`.
///
/// # Other types
///
/// A key that holds another type answers `WrongType`, except that `set` replaces whatever is there, and that in a batch
/// `get` finds nothing.
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

/// Tells the observer of a round trip when it ends, one way or another.
struct Heard<'t>(&'t Context, &'static str, Instant);

impl<'t> Trip<'t> {
    fn start(self) -> Option<Heard<'t>> {
        self.cx.observer.as_ref().map(|_| Heard(self.cx, self.name, Instant::now()))
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        if let Some(observer) = &self.0.observer {
            observer.round_trip(BACKEND, self.1, self.2.elapsed());
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
    /// Connects to the server or cluster that `url` names, with the default [`RedisOptions`]. They tell what URLs there are.
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that cannot be read, `Unavailable`, `Timeout` or `AccessDenied` if no connection can be
    /// made.
    pub async fn open(url: impl AsRef<str>) -> Result<Self> {
        RedisOptions::new().open(url).await
    }

    fn new(servers: Servers) -> Self {
        let naming = Naming { cluster: matches!(servers, Servers::Cluster(_)) };
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

// What is rare is boxed, so that the futures of single calls stay small: they are moved on their way into a box.
impl Inner {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        keys::check(op.key())?;
        let trip = Trip { cx, name: op.name(), key: op.key(), access: access(cx) };
        let answer = self.send(trip, &self.naming.read(op, By::Hash)).await;
        let mut answer = answer.map_err(|failure| failure.into_error(false))?;
        if is_no_script(&answer) {
            let cmd = self.naming.read(op, By::Text);
            let again = Box::pin(self.send(trip, &cmd)).await;
            answer = again.map_err(|failure| failure.into_error(false))?;
        }
        match op {
            Read::ZRange(op) if is_too_long(op, &answer) => {
                Box::pin(self.long_range(cx, op, trip.access)).await
            }
            op => read_reply(op, answer),
        }
    }

    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        keys::check(op.key())?;
        let Some(cmd) = self.naming.write(op, By::Hash) else { return Ok(Reply::Done) };
        check_size(&cmd)?;
        let trip = Trip { cx, name: op.name(), key: op.key(), access: Access::Primary };
        let answer = self.send(trip, &cmd).await;
        let mut answer = answer.map_err(|failure| failure.into_error(true))?;
        if is_no_script(&answer)
            && let Some(cmd) = self.naming.write(op, By::Text)
        {
            let again = Box::pin(self.send(trip, &cmd)).await;
            answer = again.map_err(|failure| failure.into_error(true))?;
        }
        write_reply(op, answer)
    }

    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let Some(first) = writes.first() else { return Ok(Outcome::Committed) };
        writes.iter().try_for_each(|write| keys::check(write.key()))?;
        if self.naming.cluster {
            let slot = keys::slot(first.key());
            if let Some(other) = writes.iter().find(|write| keys::slot(write.key()) != slot) {
                return Err(cross_slot(first.key(), other.key()));
            }
        }
        let cmd = self.naming.transact(writes, By::Hash);
        check_size(&cmd)?;
        let access = Access::Primary;
        let trip = Trip { cx, name: "atomic_write", key: first.key(), access };
        let answer = self.send(trip, &cmd).await;
        let mut answer = answer.map_err(|failure| failure.into_error(true))?;
        if is_no_script(&answer) {
            let cmd = self.naming.transact(writes, By::Text);
            let again = Box::pin(self.send(trip, &cmd)).await;
            answer = again.map_err(|failure| failure.into_error(true))?;
        }
        outcome(answer)
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
                return Ok(answer);
            }
        }
        let _heard = trip.start();
        primary.call(cmd).await
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
    ) -> Vec<Result<Answer, Arc<Failure>>> {
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
                return answers.into_iter().map(Ok).collect();
            }
        }
        let _heard = trip.start();
        match primary.call_all(&pipeline).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(failure) => {
                let failure = Arc::new(failure);
                (0..count).map(|_| Err(Arc::clone(&failure))).collect()
            }
        }
    }

    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        // A read after a write of the same batch has to see it.
        let access = match ops.iter().any(|op| matches!(op, Op::Write(_))) {
            true => Access::Primary,
            false => access(cx),
        };
        let mut replies = Vec::with_capacity(ops.len());
        let mut rest = ops;
        while !rest.is_empty() {
            let Requests { cmds, spans, taken } = self.requests(rest);
            let answered = replies.len();
            let answers = self.send_all(cx, access, cmds).await;
            let mut answers = answers.into_iter();
            for span in spans {
                let ops = &rest[span.first..span.first + span.count];
                if let Some(reply) = span.reply {
                    replies.push(reply);
                    continue;
                }
                let answer =
                    answers.next().unwrap_or_else(|| Err(Arc::new(Failure::Lost(unexpected()))));
                unfold(ops, answer, &mut replies);
            }
            // What was too long for a script comes page by page.
            for (op, reply) in rest.iter().zip(&mut replies[answered..]) {
                if let (Op::Read(Read::ZRange(op)), Ok(Reply::Done)) = (op, &reply) {
                    *reply = Box::pin(self.long_range(cx, op, access)).await;
                }
            }
            rest = &rest[taken..];
        }
        replies
    }

    /// The commands of the next operations of a batch, and which operations each answers. They end before a write to what a
    /// range may still have to be read from, page by page.
    fn requests<'o>(&self, ops: &'o [Op]) -> Requests<'o> {
        let (mut cmds, mut spans) = (Vec::new(), Vec::new());
        let mut next = 0;
        let mut long: HashSet<&[u8]> = HashSet::new();
        while next < ops.len() && cmds.len() < PIPELINE {
            let first = next;
            let key = &ops[first].key()[..];
            match &ops[first] {
                Op::Read(Read::ZRange(op)) if commands::may_be_too_long(op) => {
                    long.insert(key);
                }
                Op::Write(_) if long.contains(key) => break,
                _ => {}
            }
            let cmd = match &ops[first] {
                op if keys::check(op.key()).is_err() => keys::check(op.key()).map(|()| None),
                Op::Read(op) => {
                    let count = 1 + ops[first + 1..]
                        .iter()
                        .take(PAGE - 1)
                        .take_while(|other| self.folds(op, other))
                        .count();
                    next += count - 1;
                    Ok(Some(match count {
                        1 => self.naming.read(op, By::Text),
                        _ => fold(op, &ops[first..first + count]),
                    }))
                }
                Op::Write(op) => match self.naming.write(op, By::Text) {
                    Some(cmd) => check_size(&cmd).map(|()| Some(cmd)),
                    None => Ok(None),
                },
            };
            next += 1;
            let reply = match cmd {
                Ok(Some(cmd)) => {
                    cmds.push((key, cmd));
                    None
                }
                Ok(None) => Some(Ok(Reply::Done)),
                Err(e) => Some(Err(e)),
            };
            spans.push(Span { first, count: next - first, reply });
        }
        Requests { cmds, spans, taken: next }
    }

    /// Whether one command reads both.
    fn folds(&self, op: &Read, other: &Op) -> bool {
        match (op, other) {
            (Read::Get(a), Op::Read(Read::Get(b))) => {
                (!self.naming.cluster || keys::slot(&a.key) == keys::slot(&b.key))
                    && keys::check(&b.key).is_ok()
            }
            (Read::HGet(a), Op::Read(Read::HGet(b))) => a.key == b.key,
            (Read::ZScore(a), Op::Read(Read::ZScore(b))) => a.key == b.key,
            _ => false,
        }
    }

    /// A range of more entries than a script should answer: its members first, then their values, page by page. Members that
    /// are removed meanwhile are left out.
    async fn long_range(&self, cx: &Context, op: &ZRange, access: Access) -> Result<Reply> {
        let trip = Trip { cx, name: op.name(), key: &op.key, access };
        let answer = self.send(trip, &self.naming.members(op)).await;
        let answer = answer.map_err(|failure| failure.into_error(false))?;
        let by_score = matches!(op.range, Range::Score(_));
        let (members, scores): (Vec<Value>, Vec<f64>) = if op.scores && by_score {
            commands::scored(answer)?.into_iter().unzip()
        } else {
            (commands::values(answer)?, Vec::new())
        };
        let pages = members.chunks(PAGE);
        let cmds = pages.map(|page| (&op.key[..], self.naming.page(&op.key, page))).collect();
        let answers = self.send_all(cx, access, cmds).await;
        let mut found = Vec::with_capacity(members.len());
        let mut members = members.into_iter().enumerate();
        for answer in answers {
            let answer = answer.map_err(|failure| failure.error(false))?;
            let mut lists = commands::entries(answer)?.into_iter();
            let (Some(now), Some(values)) = (lists.next(), lists.next()) else {
                return Err(unexpected());
            };
            let values = commands::entries(values)?;
            for (now, value) in commands::entries(now)?.into_iter().zip(values) {
                let Some((i, member)) = members.next() else { return Err(unexpected()) };
                let Some(now) = commands::score(now)? else { continue };
                let value = match op.values {
                    true => commands::optional(value)?.unwrap_or(member),
                    false => member,
                };
                found.push((value, scores.get(i).copied().unwrap_or(now)));
            }
        }
        Ok(match op.scores {
            true => Reply::Scored(found),
            false => Reply::Values(found.into_iter().map(|(value, _)| value).collect()),
        })
    }
}

/// What goes out for the next operations of a batch: how many were taken, and the commands with their keys.
struct Requests<'o> {
    cmds: Vec<(&'o [u8], Cmd)>,
    spans: Vec<Span>,
    taken: usize,
}

/// Some operations of a batch that one command answers, or that need none.
struct Span {
    first: usize,
    count: usize,
    reply: Option<Result<Reply>>,
}

/// One command for several reads of one kind.
fn fold(op: &Read, ops: &[Op]) -> Cmd {
    let reads = ops.iter().filter_map(|op| match op {
        Op::Read(op) => Some(op),
        Op::Write(_) => None,
    });
    let (name, key) = match op {
        Read::HGet(op) => ("HMGET", Some(&op.key)),
        Read::ZScore(op) => ("ZMSCORE", Some(&op.key)),
        _ => ("MGET", None),
    };
    let mut cmd = command(name, 1 + ops.len(), 24 * (1 + ops.len()));
    if let Some(key) = key {
        cmd.arg(&key[..]);
    }
    for read in reads {
        match read {
            Read::HGet(HGet { field, .. }) => cmd.arg(&field[..]),
            Read::ZScore(ZScore { member, .. }) => cmd.arg(&member[..]),
            other => cmd.arg(&other.key()[..]),
        };
    }
    cmd
}

/// The replies of the operations that one command has answered.
fn unfold(ops: &[Op], answer: Result<Answer, Arc<Failure>>, replies: &mut Vec<Result<Reply>>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => {
            replies.extend(ops.iter().map(|op| Err(failure.error(matches!(op, Op::Write(_))))));
            return;
        }
    };
    if let [op] = ops {
        replies.push(match op {
            // Told by a reply that no read has; see `batch`.
            Op::Read(Read::ZRange(op)) if is_too_long(op, &answer) => Ok(Reply::Done),
            Op::Read(op) => read_reply(op, answer),
            Op::Write(op) => write_reply(op, answer),
        });
        return;
    }
    match answer {
        Answer::Array(answers) if answers.len() == ops.len() => {
            replies.extend(ops.iter().zip(answers).map(|(op, answer)| match op {
                Op::Read(op) => read_reply(op, answer),
                Op::Write(op) => write_reply(op, answer),
            }));
        }
        Answer::ServerError(e) => {
            replies.extend(ops.iter().map(|_| Err(errors::refused(&e))));
        }
        _ => replies.extend(ops.iter().map(|_| Err(unexpected()))),
    }
}

/// Whether the script has found more than it may answer.
fn is_too_long(op: &ZRange, answer: &Answer) -> bool {
    matches!(answer, Answer::Int(_)) && commands::may_be_too_long(op)
}

/// Whether a replica cannot serve.
fn is_out_of_order(answer: &Answer) -> bool {
    matches!(answer, Answer::ServerError(e) if matches!(e.code(), "MASTERDOWN" | "LOADING" | "BUSY"))
}

/// One after the other, but for those that have just failed.
fn pick<'l, L: Borrow<Link>>(links: &'l [L], turn: &AtomicUsize) -> Option<&'l L> {
    if links.is_empty() {
        return None;
    }
    let (a, b) = links.split_at(turn.fetch_add(1, Ordering::Relaxed) % links.len());
    b.iter().chain(a).find(|link| !(*link).borrow().rests())
}

fn outcome(answer: Answer) -> Result<Outcome> {
    let entries = match answer {
        Answer::Okay => return Ok(Outcome::Committed),
        answer => commands::entries(answer)?,
    };
    if let [Answer::BulkString(error), Answer::Int(position)] = &entries[..] {
        let error = match &error[..] {
            b"OVERFLOW" => Error::new(ErrorKind::Overflow, "the sum cannot be represented"),
            b"NOPERM" => Error::new(ErrorKind::AccessDenied, "the server denies access"),
            _ => Error::wrong_type("the key holds another type, or no integer"),
        };
        return Err(error.of_write(usize::try_from(*position).unwrap_or_default()));
    }
    let positions = entries.into_iter().map(|entry| match entry {
        Answer::Int(position) => usize::try_from(position).map_err(|_| unexpected()),
        _ => Err(unexpected()),
    });
    positions.collect()
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
fn cross_slot(a: &[u8], b: &[u8]) -> Error {
    let (a, b) = (keys::shown(a), keys::shown(b));
    Error::invalid(format!(
        "the keys `{a}` and `{b}` are in different slots of the cluster, and an atomic write stays in one; give its keys \
         a common hash tag, such as `{{7}}` in `user:{{7}}` and `mail:{{7}}`"
    ))
}
