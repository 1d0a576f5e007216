//! Batches: one pipeline, or several if the batch is large. Adjacent reads of the same kind are
//! combined into one command.

use super::client::{Client, check_size};
use super::command::{Command, Target};
use super::commands::{self, PAGE, start_command};
use super::connection::Failure;
use super::errors::{refused, unexpected};
use super::pipeline_size::{PipelineSize, answer_bytes, request_bytes};
use super::read::is_too_long;
use super::scripts::ScriptRef;
use super::{keys, replies};
use crate::backend::Context;
use crate::op::{HGet, Op, Read, Reply, ZScore};
use crate::{Error, ErrorKind, Result};
use ::redis::{Cmd, Value as RespValue};
use std::collections::HashSet;

/// The reads of the first pipeline: 50 MB, if all replies are as long as the portable limits allow.
const FIRST_READS: usize = 128;

impl Client {
    pub(super) async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        // A read must see the writes before it in the same batch.
        let writes = ops.iter().any(|op| matches!(op, Op::Write(_)));
        let target = if writes { Target::Primary } else { Target::of_reads(cx) };
        let mut replies = Vec::with_capacity(ops.len());
        let mut size = PipelineSize::new(FIRST_READS);
        while replies.len() < ops.len() {
            let rest = &ops[replies.len()..];
            let Requests { commands, spans, reads } = self.requests(rest, size);
            let answers = self.send_all(cx, target, commands).await;
            let first = replies.len();
            let taken = spans.iter().map(|span| span.count).sum::<usize>();
            if taken < rest.len() {
                size.adapt(reads, answers.iter().flatten().map(answer_bytes).sum());
            }
            let failure = self.stops_batch(&answers, &mut size);
            decode_all(rest, spans, answers, &mut replies);
            self.read_long_ranges(cx, target, rest, &mut replies[first..]).await;
            if let Some(failure) = failure {
                replies.extend(ops[replies.len()..].iter().map(|_| Err(failure.clone())));
            }
        }
        replies
    }

    /// Reads the ranges that were too long for a script.
    async fn read_long_ranges(
        &self,
        cx: &Context,
        target: Target,
        ops: &[Op],
        replies: &mut [Result<Reply>],
    ) {
        for (op, reply) in ops.iter().zip(replies) {
            if let (Op::Read(Read::ZRange(op)), Ok(Reply::Done)) = (op, &reply) {
                *reply = Box::pin(self.long_range(cx, op, target)).await;
            }
        }
    }

    /// Returns the failure after which the rest of a batch is not sent: the server does not answer.
    /// In a cluster other servers may answer, so the rest is sent, in fewer pipelines.
    fn stops_batch(
        &self,
        answers: &[Result<RespValue, Failure>],
        size: &mut PipelineSize,
    ) -> Option<Error> {
        let failure = answers.iter().find_map(|answer| answer.as_ref().err())?;
        if self.key_scheme.cluster {
            size.double();
            return None;
        }
        match failure {
            // The next pipeline reconnects.
            Failure::Refused(_) => None,
            Failure::Lost(e) if e.kind() != ErrorKind::Timeout => None,
            Failure::Lost(e) | Failure::NotSent(e) => Some(e.clone()),
        }
    }

    /// The commands of the next pipeline. It ends where `size` is reached, and before a write to a
    /// key of which a range may have to be read page by page first.
    fn requests<'o>(&self, ops: &'o [Op], size: PipelineSize) -> Requests<'o> {
        let mut requests = Requests { commands: Vec::new(), spans: Vec::new(), reads: 0 };
        let (mut next, mut bytes) = (0, 0);
        let mut long_ranges: HashSet<&[u8]> = HashSet::new();
        while next < ops.len()
            && requests.commands.len() < size.commands
            && requests.reads < size.reads
        {
            let (op, key) = (&ops[next], &ops[next].key()[..]);
            match op {
                Op::Read(op) if may_be_long_range(op) => drop(long_ranges.insert(key)),
                Op::Write(_) if long_ranges.contains(key) => break,
                _ => {}
            }
            let (count, request) = self.request(&ops[next..], size.reads - requests.reads);
            let is_write = matches!(op, Op::Write(_));
            let reply = match request {
                Ok(Some(cmd)) => {
                    bytes += request_bytes(&cmd);
                    if bytes > size.bytes && !requests.commands.is_empty() {
                        break;
                    }
                    requests.commands.push(Command { key, cmd, writes: is_write });
                    None
                }
                Ok(None) => Some(Ok(Reply::Done)),
                Err(e) => Some(Err(e)),
            };
            requests.reads += if is_write { 0 } else { count };
            requests.spans.push(Span { first: next, count, reply });
            next += count;
        }
        requests
    }

    /// One command for the first of `ops`, and for how many of them it is: at most `max_reads`.
    /// `None` if there is nothing to do.
    fn request(&self, ops: &[Op], max_reads: usize) -> (usize, Result<Option<Cmd>>) {
        if let Err(e) = keys::check_op(&ops[0]) {
            return (1, Err(e));
        }
        match &ops[0] {
            Op::Read(op) => {
                let others = ops[1..].iter().take(PAGE.min(max_reads) - 1);
                let count = 1 + others.take_while(|other| self.can_combine(op, other)).count();
                if count > 1 {
                    return (count, Ok(Some(combine(op, &ops[..count]))));
                }
                let max_bytes = commands::max_bytes_in_batch(op);
                (1, Ok(Some(self.key_scheme.encode_read(op, ScriptRef::Source, max_bytes))))
            }
            Op::Write(op) => match self.key_scheme.encode_write(op, ScriptRef::Source) {
                Some(cmd) => (1, check_size(&cmd).map(|()| Some(cmd))),
                None => (1, Ok(None)),
            },
        }
    }

    /// Whether one command can read both.
    fn can_combine(&self, op: &Read, other: &Op) -> bool {
        match (op, other) {
            (Read::Get(a), Op::Read(Read::Get(b))) => {
                (!self.key_scheme.cluster || keys::slot(&a.key) == keys::slot(&b.key))
                    && keys::check_op(other).is_ok()
            }
            (Read::HGet(a), Op::Read(Read::HGet(b))) => a.key == b.key,
            (Read::ZScore(a), Op::Read(Read::ZScore(b))) => a.key == b.key,
            _ => false,
        }
    }
}

/// The next pipeline of a batch, and how many of its operations are reads.
struct Requests<'o> {
    commands: Vec<Command<'o>>,
    spans: Vec<Span>,
    reads: usize,
}

/// Adjacent operations of a batch that share one command; or one that needs no command, and its
/// reply.
struct Span {
    first: usize,
    count: usize,
    reply: Option<Result<Reply>>,
}

/// Whether the script may not return the whole range in a batch.
fn may_be_long_range(op: &Read) -> bool {
    match op {
        Read::ZRange(range) => commands::may_be_too_long(range, commands::max_bytes_in_batch(op)),
        _ => false,
    }
}

/// One command for several reads of the same kind.
fn combine(op: &Read, ops: &[Op]) -> Cmd {
    let reads = ops.iter().filter_map(|op| match op {
        Op::Read(op) => Some(op),
        Op::Write(_) => None,
    });
    let (name, key) = match op {
        Read::HGet(op) => ("HMGET", Some(&op.key)),
        Read::ZScore(op) => ("ZMSCORE", Some(&op.key)),
        _ => ("MGET", None),
    };
    let mut cmd = start_command(name, 1 + ops.len(), 24 * (1 + ops.len()));
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

/// Decodes the answers to one pipeline.
fn decode_all(
    ops: &[Op],
    spans: Vec<Span>,
    answers: Vec<Result<RespValue, Failure>>,
    replies: &mut Vec<Result<Reply>>,
) {
    let mut answers = answers.into_iter();
    for span in spans {
        if let Some(reply) = span.reply {
            replies.push(reply);
            continue;
        }
        let answer = answers.next().unwrap_or_else(|| Err(Failure::Lost(unexpected())));
        decode_span(&ops[span.first..span.first + span.count], answer, replies);
    }
}

/// Decodes the answer to one command into the replies of its operations.
fn decode_span(ops: &[Op], answer: Result<RespValue, Failure>, replies: &mut Vec<Result<Reply>>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => {
            let error = |op| failure.clone().into_error(matches!(op, &Op::Write(_)));
            replies.extend(ops.iter().map(|op| Err(error(op))));
            return;
        }
    };
    if let [op] = ops {
        replies.push(match op {
            // No read has the reply `Done`; `read_long_ranges` replaces it.
            Op::Read(Read::ZRange(op)) if is_too_long(op, &answer) => Ok(Reply::Done),
            op => decode(op, answer),
        });
        return;
    }
    match answer {
        RespValue::Array(answers) if answers.len() == ops.len() => {
            replies.extend(ops.iter().zip(answers).map(|(op, answer)| decode(op, answer)));
        }
        RespValue::ServerError(e) => {
            replies.extend(ops.iter().map(|_| Err(refused(&e))));
        }
        _ => replies.extend(ops.iter().map(|_| Err(unexpected()))),
    }
}

fn decode(op: &Op, answer: RespValue) -> Result<Reply> {
    match op {
        Op::Read(op) => replies::read(op, answer),
        Op::Write(op) => replies::write(op, answer),
    }
}
