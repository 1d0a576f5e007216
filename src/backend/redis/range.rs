//! Ranges that are too long for one answer of a script.

use super::errors::unexpected;
use super::{Access, Inner, Trip, commands, replies};
use crate::backend::Context;
use crate::op::ZRange;
use crate::op::{Range, Reply};
use crate::{Result, Value};
use ::redis::Value as Answer;
use commands::PAGE;

impl Inner {
    /// A range of more entries than a script should answer: its members first, then their values, page by page. Members that
    /// are removed meanwhile are left out.
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
        let pages = members.chunks(PAGE);
        let cmds = pages.map(|page| (&op.key[..], self.naming.page(&op.key, page))).collect();
        let answers = self.send_all(cx, access, cmds).await;
        let mut found = Vec::with_capacity(members.len());
        let mut members = members.into_iter().enumerate();
        for answer in answers {
            let answer = answer.map_err(|failure| failure.into_error(false))?;
            let mut lists = replies::entries(answer)?.into_iter();
            let (Some(now), Some(values)) = (lists.next(), lists.next()) else {
                return Err(unexpected());
            };
            let values = replies::entries(values)?;
            for (now, value) in replies::entries(now)?.into_iter().zip(values) {
                let Some((i, member)) = members.next() else { return Err(unexpected()) };
                let Some(now) = replies::score(now)? else { continue };
                let value = match op.values {
                    true => replies::optional(value)?.unwrap_or(member),
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

/// Whether the script has found more than it may answer.
pub(super) fn is_too_long(op: &ZRange, answer: &Answer) -> bool {
    matches!(answer, Answer::Int(_)) && commands::may_be_too_long(op)
}
