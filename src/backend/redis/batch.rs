//! Batches: a pipeline, or several if it is large. Neighbouring reads of one kind are one command.

use super::errors::{refused, unexpected};
use super::link::Failure;
use super::range::is_too_long;
use super::scripts::By;
use super::window::{self, Window};
use super::{Access, Inner, access, check_size, commands, keys, replies};
use crate::backend::Context;
use crate::op::{HGet, ZScore};
use crate::op::{Op, Read, Reply};
use crate::{Error, ErrorKind, Result};
use ::redis::{Cmd, Value as Answer};
use commands::{PAGE, command};
use std::collections::HashSet;

/// The reads of the first pipeline: 50 MB, if all answers are as long as the portable limits allow.
const READS: usize = 128;

impl Inner {
    pub(super) async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        // A read after a write of the same batch has to see it.
        let access = match ops.iter().any(|op| matches!(op, Op::Write(_))) {
            true => Access::Primary,
            false => access(cx),
        };
        let mut replies = Vec::with_capacity(ops.len());
        let mut window = Window::new(READS);
        while replies.len() < ops.len() {
            let rest = &ops[replies.len()..];
            let Requests { cmds, spans, reads } = self.requests(rest, window);
            let answers = self.send_all(cx, access, cmds).await;
            let first = replies.len();
            let taken = spans.iter().map(|span| span.count).sum::<usize>();
            if taken < rest.len() {
                window.learn(reads, answers.iter().flatten().map(window::answered).sum());
            }
            let failure = self.what_stops(&answers, &mut window);
            settle(rest, spans, answers, &mut replies);
            // What was too long for a script comes page by page.
            for (op, reply) in rest.iter().zip(&mut replies[first..]) {
                if let (Op::Read(Read::ZRange(op)), Ok(Reply::Done)) = (op, &reply) {
                    *reply = Box::pin(self.long_range(cx, op, access)).await;
                }
            }
            if let Some(failure) = failure {
                replies.extend(ops[replies.len()..].iter().map(|_| Err(failure.clone())));
            }
        }
        replies
    }

    /// Why the rest of a batch is not sent: the server does not answer. In a cluster others may,
    /// and the rest is sent in fewer pipelines.
    fn what_stops(
        &self,
        answers: &[Result<Answer, Failure>],
        window: &mut Window,
    ) -> Option<Error> {
        let failure = answers.iter().find_map(|answer| answer.as_ref().err())?;
        if self.naming.cluster {
            window.widen();
            return None;
        }
        match failure {
            // The next pipeline gets a new connection.
            Failure::Refused(_) => None,
            Failure::Lost(e) if e.kind() != ErrorKind::Timeout => None,
            Failure::Lost(e) | Failure::NotSent(e) => Some(e.clone()),
        }
    }

    /// The commands of the next operations of a batch, and which operations each answers. They end
    /// where `window` is full, and before a write to a key of which a range may still have to be
    /// read, page by page.
    fn requests<'o>(&self, ops: &'o [Op], window: Window) -> Requests<'o> {
        let mut requests = Requests { cmds: Vec::new(), spans: Vec::new(), reads: 0 };
        let (mut next, mut bytes) = (0, 0);
        let mut long: HashSet<&[u8]> = HashSet::new();
        while next < ops.len()
            && requests.cmds.len() < window.commands
            && requests.reads < window.reads
        {
            let (op, key) = (&ops[next], &ops[next].key()[..]);
            match op {
                Op::Read(read @ Read::ZRange(op))
                    if commands::may_be_too_long(op, commands::bytes_in_batch(read)) =>
                {
                    long.insert(key);
                }
                Op::Write(_) if long.contains(key) => break,
                _ => {}
            }
            let (count, request) = self.request(&ops[next..], window.reads - requests.reads);
            let reply = match request {
                Ok(Some(cmd)) => {
                    bytes += window::sent(&cmd);
                    if bytes > window.bytes && !requests.cmds.is_empty() {
                        break;
                    }
                    requests.cmds.push((key, cmd));
                    None
                }
                Ok(None) => Some(Ok(Reply::Done)),
                Err(e) => Some(Err(e)),
            };
            requests.reads += if matches!(op, Op::Read(_)) { count } else { 0 };
            requests.spans.push(Span { first: next, count, reply });
            next += count;
        }
        requests
    }

    /// One command for the first of `ops`, and how many it is for: at most `most` reads. `None` if
    /// there is nothing to do.
    fn request(&self, ops: &[Op], most: usize) -> (usize, Result<Option<Cmd>>) {
        if let Err(e) = keys::check_op(&ops[0]) {
            return (1, Err(e));
        }
        match &ops[0] {
            Op::Read(op) => {
                let others = ops[1..].iter().take(PAGE.min(most) - 1);
                match 1 + others.take_while(|other| self.folds(op, other)).count() {
                    1 => {
                        (1, Ok(Some(self.naming.read(op, By::Text, commands::bytes_in_batch(op)))))
                    }
                    count => (count, Ok(Some(fold(op, &ops[..count])))),
                }
            }
            Op::Write(op) => match self.naming.write(op, By::Text) {
                Some(cmd) => (1, check_size(&cmd).map(|()| Some(cmd))),
                None => (1, Ok(None)),
            },
        }
    }

    /// Whether one command reads both.
    fn folds(&self, op: &Read, other: &Op) -> bool {
        match (op, other) {
            (Read::Get(a), Op::Read(Read::Get(b))) => {
                (!self.naming.cluster || keys::slot(&a.key) == keys::slot(&b.key))
                    && keys::check_op(other).is_ok()
            }
            (Read::HGet(a), Op::Read(Read::HGet(b))) => a.key == b.key,
            (Read::ZScore(a), Op::Read(Read::ZScore(b))) => a.key == b.key,
            _ => false,
        }
    }
}

/// The next pipeline of a batch: commands with their keys, and for how many reads they are.
struct Requests<'o> {
    cmds: Vec<(&'o [u8], Cmd)>,
    spans: Vec<Span>,
    reads: usize,
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

/// The replies of the operations that were sent.
fn settle(
    ops: &[Op],
    spans: Vec<Span>,
    answers: Vec<Result<Answer, Failure>>,
    replies: &mut Vec<Result<Reply>>,
) {
    let mut answers = answers.into_iter();
    for span in spans {
        if let Some(reply) = span.reply {
            replies.push(reply);
            continue;
        }
        let answer = answers.next().unwrap_or_else(|| Err(Failure::Lost(unexpected())));
        unfold(&ops[span.first..span.first + span.count], answer, replies);
    }
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
