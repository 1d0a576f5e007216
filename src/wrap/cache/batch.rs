//! A batch on a cache: cached reads are answered, and the rest is sent as one batch.

use super::core::{Core, InFlight, is_certain};
use super::gate::{PendingRead, PendingWrite};
use super::table::Table;
use crate::backend::Context;
use crate::op::{Op, Reply};
use crate::{Backend, Error, ErrorKind, Result};
use std::borrow::Cow;
use std::collections::HashSet;

/// The guard of an operation that was sent.
enum Pending<'c> {
    Read(PendingRead<'c, InFlight>),
    Write(PendingWrite<'c, InFlight>),
}

/// An operation that was not answered from the cache: its position and its guard.
type Missed<'c> = (usize, Pending<'c>);

pub(super) async fn run<B: Backend, T: Table>(
    core: &Core<T>,
    inner: &B,
    cx: &Context,
    ops: &[Op],
) -> Vec<Result<Reply>> {
    let cached = get_cached(core, cx, ops);
    let missed = start(core, cx, ops, &cached);
    let mut replies: Vec<Option<Result<Reply>>> =
        cached.into_iter().map(|reply| reply.map(Ok)).collect();
    if !missed.is_empty() {
        let rest: Cow<'_, [Op]> = match missed.len() == ops.len() {
            true => Cow::Borrowed(ops),
            false => missed.iter().map(|(i, _)| ops[*i].clone()).collect::<Vec<_>>().into(),
        };
        let mut results = inner.batch(cx, &rest).await.into_iter();
        for (i, pending) in missed {
            let result = results.next().unwrap_or_else(|| Err(no_reply()));
            end(core, cx, &ops[i], pending, &result);
            replies[i] = Some(result);
        }
    }
    replies.into_iter().map(|reply| reply.unwrap_or_else(|| Err(no_reply()))).collect()
}

/// The cached reply to each read. A read after a write to its key must see that write: it is a
/// miss.
fn get_cached<T: Table>(core: &Core<T>, cx: &Context, ops: &[Op]) -> Vec<Option<Reply>> {
    let mut written = HashSet::new();
    let get = |op: &Op| match op {
        Op::Write(_) => {
            written.insert(core.hash(op.key()));
            None
        }
        Op::Read(_) if written.contains(&core.hash(op.key())) => {
            core.count_miss();
            None
        }
        Op::Read(read) => core.get(cx, read),
    };
    ops.iter().map(get).collect()
}

/// Starts the operations that are sent, the writes before the reads: so a reply for a key that this
/// batch writes is not cached.
fn start<'c, T: Table>(
    core: &'c Core<T>,
    cx: &Context,
    ops: &[Op],
    cached: &[Option<Reply>],
) -> Vec<Missed<'c>> {
    let missed = || ops.iter().enumerate().filter(|(i, _)| cached[*i].is_none());
    let writes = missed().filter_map(|(i, op)| match op {
        Op::Write(write) => Some((i, Pending::Write(core.start_write(write.key())))),
        Op::Read(_) => None,
    });
    let mut pending: Vec<Missed<'c>> = writes.collect();
    pending.extend(missed().filter_map(|(i, op)| match op {
        Op::Read(read) => Some((i, Pending::Read(core.start_read(cx, read)))),
        Op::Write(_) => None,
    }));
    pending.sort_unstable_by_key(|(i, _)| *i);
    pending
}

fn end<T: Table>(
    core: &Core<T>,
    cx: &Context,
    op: &Op,
    pending: Pending<'_>,
    result: &Result<Reply>,
) {
    match (op, pending) {
        (Op::Read(read), Pending::Read(pending)) => core.end_read(cx, read, pending, result),
        (_, Pending::Write(mut pending)) => {
            if is_certain(result) {
                pending.mark_certain();
            }
        }
        (Op::Write(_), Pending::Read(_)) => {}
    }
}

#[cold]
fn no_reply() -> Error {
    Error::new(ErrorKind::Other, "the backend returned fewer replies than the batch has operations")
        .with_unknown_outcome()
}
