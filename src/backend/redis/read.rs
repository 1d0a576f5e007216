//! Reads: one command each. A range that is longer than a script returns at once is read page by
//! page: the members first, then their scores and values.

use super::client::Client;
use super::command::{Command, CommandContext, Target};
use super::commands::{self, PAGE};
use super::errors::unexpected;
use super::pipeline_size::{PIPELINE_BYTES, PipelineSize, answer_bytes};
use super::scripts::ScriptRef;
use super::{keys, replies};
use crate::backend::Context;
use crate::op::{Range, Read, Reply, ZRange};
use crate::{Result, Value};
use ::redis::Value as RespValue;
use std::collections::VecDeque;
use std::ops;

/// The members of the first pipeline. Each page returns about
/// [`PIPELINE_BYTES`] at most.
const FIRST_MEMBERS: usize = 4 * PAGE;

/// The score of a member that still exists, and its value unless the member is its own value.
type Entry = Option<(f64, Option<Value>)>;

impl Client {
    pub(super) async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        keys::check_read(op)?;
        let call = CommandContext { cx, name: op.name(), target: Target::of_reads(cx) };
        let encode = |script| {
            Command::read(op.key(), self.key_scheme.encode_read(op, script, PIPELINE_BYTES))
        };
        let command = encode(ScriptRef::Sha);
        let answer = self.send_script(call, command, || Some(encode(ScriptRef::Source))).await?;
        match op {
            Read::ZRange(op) if is_too_long(op, &answer) => {
                Box::pin(self.long_range(cx, op, call.target)).await
            }
            op => replies::read(op, answer).map_err(|e| self.with_server(op.key(), e)),
        }
    }

    /// Reads a long range. Members that are removed between the commands are left out.
    pub(super) async fn long_range(
        &self,
        cx: &Context,
        op: &ZRange,
        target: Target,
    ) -> Result<Reply> {
        let call = CommandContext { cx, name: op.name(), target };
        let command = Command::read(&op.key, self.key_scheme.encode_members(op));
        let answer = self.send(call, &command).await;
        let answer = answer.map_err(|failure| failure.into_error(false))?;
        let by_score = matches!(op.range, Range::Score(_));
        let (members, scores): (Vec<Value>, Vec<f64>) = if op.scores && by_score {
            replies::scored(answer)?.into_iter().unzip()
        } else {
            (replies::values(answer)?, Vec::new())
        };
        let entries = self.read_pages(cx, op, target, &members).await?;
        let mut found = Vec::with_capacity(members.len());
        for (i, (member, entry)) in members.into_iter().zip(entries).enumerate() {
            if let Some((now, value)) = entry {
                let value = if op.values { value.unwrap_or(member) } else { member };
                found.push((value, scores.get(i).copied().unwrap_or(now)));
            }
        }
        Ok(if op.scores {
            Reply::Scored(found)
        } else {
            Reply::Values(found.into_iter().map(|(value, _)| value).collect())
        })
    }

    /// The entry of each member. A page of large values returns only its first entries; the others
    /// are requested again.
    async fn read_pages(
        &self,
        cx: &Context,
        op: &ZRange,
        target: Target,
        members: &[Value],
    ) -> Result<Vec<Entry>> {
        let mut entries = vec![None; members.len()];
        let mut pending = VecDeque::new();
        pending.push_back(0..members.len());
        let mut size = PipelineSize::new(FIRST_MEMBERS);
        while !pending.is_empty() {
            let pages = next_pages(&mut pending, size.reads);
            let encode = |page: &ops::Range<usize>| {
                Command::read(&op.key, self.key_scheme.encode_page(op, &members[page.clone()]))
            };
            let answers = self.send_all(cx, target, pages.iter().map(encode).collect()).await;
            let (mut reads, mut bytes) = (0, 0);
            for (page, answer) in pages.into_iter().zip(answers) {
                let answer = answer.map_err(|failure| failure.into_error(false))?;
                bytes += answer_bytes(&answer);
                let count = read_page(op, answer, &mut entries[page.clone()])?;
                reads += count;
                if count < page.len() {
                    pending.push_front(page.start + count..page.end);
                }
            }
            size.adapt(reads, bytes);
        }
        Ok(entries)
    }
}

/// Takes the next pages, of at most `max` members together.
fn next_pages(pending: &mut VecDeque<ops::Range<usize>>, max: usize) -> Vec<ops::Range<usize>> {
    let (mut pages, mut left) = (Vec::new(), max);
    while left > 0
        && let Some(range) = pending.pop_front()
    {
        let count = range.len().min(PAGE).min(left);
        if count < range.len() {
            pending.push_front(range.start + count..range.end);
        }
        pages.push(range.start..range.start + count);
        left -= count;
    }
    pages
}

/// Decodes a page into `entries`, and returns how many of them it has.
fn read_page(op: &ZRange, answer: RespValue, entries: &mut [Entry]) -> Result<usize> {
    let mut lists = replies::entries(answer)?.into_iter();
    let (Some(scores), Some(values)) = (lists.next(), lists.next()) else {
        return Err(unexpected());
    };
    let (scores, values) = (replies::entries(scores)?, replies::entries(values)?);
    let count = if op.values { values.len() } else { scores.len() };
    if count == 0 || count > entries.len() || scores.len() != entries.len() {
        return Err(unexpected());
    }
    let values = values.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    for ((entry, score), value) in entries.iter_mut().zip(scores).take(count).zip(values) {
        if let Some(score) = replies::score(score)? {
            *entry = Some((score, value.map(replies::optional).transpose()?.flatten()));
        }
    }
    Ok(count)
}

/// Whether the script has found more than it may return.
pub(super) fn is_too_long(op: &ZRange, answer: &RespValue) -> bool {
    matches!(answer, RespValue::Int(_)) && commands::may_be_too_long(op, 0)
}
