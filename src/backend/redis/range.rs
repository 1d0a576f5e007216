//! Ranges that are too long for one answer of a script.

use super::errors::unexpected;
use super::window::{self, Window};
use super::{Access, Inner, Trip, commands, replies};
use crate::backend::Context;
use crate::op::ZRange;
use crate::op::{Range, Reply};
use crate::{Result, Value};
use ::redis::Value as Answer;
use commands::PAGE;
use std::collections::VecDeque;
use std::ops;

/// The members of the first pipeline. Each of its pages answers about
/// [`BYTES`](super::window::BYTES) at most.
const MEMBERS: usize = 4 * PAGE;

impl Inner {
    /// A range of more than a script should answer: its members first, then their values, page by
    /// page. Members that are removed meanwhile are left out.
    pub(super) async fn long_range(
        &self,
        cx: &Context,
        op: &ZRange,
        access: Access,
    ) -> Result<Reply> {
        let trip = Trip { cx, name: op.name(), key: &op.key, access };
        let answer = self.send(trip, &self.naming.members(op)).await;
        let answer = answer.map_err(|failure| failure.into_error(false))?;
        let by_score = matches!(op.range, Range::Score(_));
        let (members, scores): (Vec<Value>, Vec<f64>) = if op.scores && by_score {
            replies::scored(answer)?.into_iter().unzip()
        } else {
            (replies::values(answer)?, Vec::new())
        };
        let pages = self.pages(cx, op, access, &members).await?;
        let mut found = Vec::with_capacity(members.len());
        for (i, (member, page)) in members.into_iter().zip(pages).enumerate() {
            if let Some((now, value)) = page {
                let value = if op.values { value.unwrap_or(member) } else { member };
                found.push((value, scores.get(i).copied().unwrap_or(now)));
            }
        }
        Ok(match op.scores {
            true => Reply::Scored(found),
            false => Reply::Values(found.into_iter().map(|(value, _)| value).collect()),
        })
    }

    /// The score of each member that is still there, and its value if it is not its own. A page of
    /// large values is answered in part; the rest of it is asked for again.
    async fn pages(
        &self,
        cx: &Context,
        op: &ZRange,
        access: Access,
        members: &[Value],
    ) -> Result<Vec<Option<(f64, Option<Value>)>>> {
        let mut found = vec![None; members.len()];
        let mut pending = VecDeque::new();
        pending.push_back(0..members.len());
        let mut window = Window::new(MEMBERS);
        while !pending.is_empty() {
            let asked = next_pages(&mut pending, window.reads);
            let cmd = |page: &ops::Range<usize>| {
                (&op.key[..], self.naming.page(op, &members[page.clone()]))
            };
            let answers = self.send_all(cx, access, asked.iter().map(cmd).collect()).await;
            let (mut reads, mut bytes) = (0, 0);
            for (page, answer) in asked.into_iter().zip(answers) {
                let answer = answer.map_err(|failure| failure.into_error(false))?;
                bytes += window::answered(&answer);
                let count = read_page(op, answer, &mut found[page.clone()])?;
                reads += count;
                if count < page.len() {
                    pending.push_front(page.start + count..page.end);
                }
            }
            window.learn(reads, bytes);
        }
        Ok(found)
    }
}

/// The next pages, of at most `most` members together.
fn next_pages(pending: &mut VecDeque<ops::Range<usize>>, most: usize) -> Vec<ops::Range<usize>> {
    let (mut pages, mut left) = (Vec::new(), most);
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

/// Reads the answer to a page into `found`; how many of its members it is about.
fn read_page(
    op: &ZRange,
    answer: Answer,
    found: &mut [Option<(f64, Option<Value>)>],
) -> Result<usize> {
    let mut lists = replies::entries(answer)?.into_iter();
    let (Some(scores), Some(values)) = (lists.next(), lists.next()) else {
        return Err(unexpected());
    };
    let (scores, values) = (replies::entries(scores)?, replies::entries(values)?);
    let count = if op.values { values.len() } else { scores.len() };
    if count == 0 || count > found.len() || scores.len() != found.len() {
        return Err(unexpected());
    }
    let values = values.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    for ((place, score), value) in found.iter_mut().zip(scores).take(count).zip(values) {
        if let Some(score) = replies::score(score)? {
            *place = Some((score, value.map(replies::optional).transpose()?.flatten()));
        }
    }
    Ok(count)
}

/// Whether the script has found more than it may answer.
pub(super) fn is_too_long(op: &ZRange, answer: &Answer) -> bool {
    matches!(answer, Answer::Int(_)) && commands::may_be_too_long(op, 0)
}
