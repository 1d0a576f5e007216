//! Batches: one pipeline, in which reads of one kind that stand side by side are one command.

use super::errors::{refused, unexpected};
use super::link::Failure;
use super::range::is_too_long;
use super::scripts::By;
use super::{Access, Inner, access, check_size, commands, keys, replies};
use crate::Result;
use crate::backend::Context;
use crate::op::{HGet, ZScore};
use crate::op::{Op, Read, Reply};
use ::redis::{Cmd, Value as Answer};
use commands::{PAGE, command};
use std::collections::HashSet;

/// How many commands go out in one pipeline.
const PIPELINE: usize = 10_000;

impl Inner {
    pub(super) async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
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
                let answer = answers.next().unwrap_or_else(|| Err(Failure::Lost(unexpected())));
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
fn unfold(ops: &[Op], answer: Result<Answer, Failure>, replies: &mut Vec<Result<Reply>>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => {
            replies.extend(
                ops.iter().map(|op| Err(failure.clone().into_error(matches!(op, Op::Write(_))))),
            );
            return;
        }
    };
    if let [op] = ops {
        replies.push(match op {
            // Told by a reply that no read has; see `batch`.
            Op::Read(Read::ZRange(op)) if is_too_long(op, &answer) => Ok(Reply::Done),
            Op::Read(op) => replies::read(op, answer),
            Op::Write(op) => replies::write(op, answer),
        });
        return;
    }
    match answer {
        Answer::Array(answers) if answers.len() == ops.len() => {
            replies.extend(ops.iter().zip(answers).map(|(op, answer)| match op {
                Op::Read(op) => replies::read(op, answer),
                Op::Write(op) => replies::write(op, answer),
            }));
        }
        Answer::ServerError(e) => {
            replies.extend(ops.iter().map(|_| Err(refused(&e))));
        }
        _ => replies.extend(ops.iter().map(|_| Err(unexpected()))),
    }
}
