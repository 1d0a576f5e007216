//! A batch on a cache: what is known is answered, and the rest is one batch.

use super::core::Core;
use super::core::Flight;
use super::gate::{Reading, Writing};
use crate::backend::Context;
use crate::op::{Op, Reply};
use crate::{Backend, Error, ErrorKind, Result};
use std::borrow::Cow;
use std::collections::HashSet;

/// What is under way with an operation that was sent.
enum Sent<'c> {
    Read(Reading<'c, Flight>),
    Write(Writing<'c, Flight>),
}

/// An operation that is not known, by its position, and what is under way with it.
type Missed<'c> = (usize, Sent<'c>);

/// Answers what is known. A read behind a write to its key has to see that write, and is sent.
fn look(core: &Core, cx: &Context, ops: &[Op]) -> Vec<Option<Reply>> {
    let mut written = HashSet::new();
    let answer = |op: &Op| match op {
        Op::Write(_) => {
            written.insert(core.number(op));
            None
        }
        Op::Read(_) if written.contains(&core.number(op)) => {
            core.counts.miss();
            None
        }
        Op::Read(read) => {
            let reply = core.look(cx, read);
            match reply {
                Some(_) => core.counts.hit(),
                None => core.counts.miss(),
            }
            reply
        }
    };
    ops.iter().map(answer).collect()
}

/// Begins what has to be sent, the writes before the reads: what is read of a key that this very
/// batch writes is not kept.
fn begin<'c>(core: &'c Core, cx: &Context, ops: &[Op], known: &[Option<Reply>]) -> Vec<Missed<'c>> {
    let missed = || ops.iter().enumerate().filter(|(i, _)| known[*i].is_none());
    let writes = missed().filter_map(|(i, op)| match op {
        Op::Write(write) => Some((i, Sent::Write(core.write(write.key())))),
        Op::Read(_) => None,
    });
    let mut sent: Vec<Missed<'c>> = writes.collect();
    sent.extend(missed().filter_map(|(i, op)| match op {
        Op::Read(read) => Some((i, Sent::Read(core.reading(cx, read)))),
        Op::Write(_) => None,
    }));
    sent.sort_unstable_by_key(|(i, _)| *i);
    sent
}

fn end(core: &Core, cx: &Context, op: &Op, sent: Sent<'_>, result: &Result<Reply>) {
    match (op, sent) {
        (Op::Read(read), Sent::Read(reading)) => core.keep(cx, read, reading, result),
        (_, Sent::Write(mut writing)) => {
            if result.as_ref().err().is_none_or(|e| !e.outcome_is_unknown()) {
                writing.mark_certain();
            }
        }
        (Op::Write(_), Sent::Read(_)) => {}
    }
}

#[cold]
fn unanswered() -> Error {
    Error::new(ErrorKind::Other, "the backend has left an operation of a batch unanswered")
        .with_unknown_outcome()
}

pub(super) async fn run<B: Backend>(
    core: &Core,
    inner: &B,
    cx: &Context,
    ops: &[Op],
) -> Vec<Result<Reply>> {
    let known = look(core, cx, ops);
    let sent = begin(core, cx, ops, &known);
    let mut replies: Vec<Option<Result<Reply>>> =
        known.into_iter().map(|reply| reply.map(Ok)).collect();
    if !sent.is_empty() {
        let rest: Cow<'_, [Op]> = match sent.len() == ops.len() {
            true => Cow::Borrowed(ops),
            false => sent.iter().map(|(i, _)| ops[*i].clone()).collect::<Vec<_>>().into(),
        };
        let mut answers = inner.batch(cx, &rest).await.into_iter();
        for (i, sent) in sent {
            let result = answers.next().unwrap_or_else(|| Err(unanswered()));
            end(core, cx, &ops[i], sent, &result);
            replies[i] = Some(result);
        }
    }
    replies.into_iter().map(|reply| reply.unwrap_or_else(|| Err(unanswered()))).collect()
}
