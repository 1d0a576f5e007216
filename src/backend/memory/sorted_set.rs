//! The sorted set of the memory backend: one map by member and one by score.

use crate::Value;
use crate::op::ZRange;
use crate::op::{LexRange, Range, Reply, Score, ScoreRange};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

/// The score and value of a member. `None`: the member is its own value.
#[derive(Clone, Debug)]
struct Held {
    score: Score,
    value: Option<Value>,
}

/// Both maps hold the same members at all times.
#[derive(Debug, Default)]
pub(super) struct SortedSet {
    members: BTreeMap<Value, Held>,
    order: BTreeMap<(Score, Value), Option<Value>>,
}

/// One member of a range: itself, its score and its value.
type Row<'a> = (&'a Value, Score, &'a Option<Value>);

impl SortedSet {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
    pub(super) fn score(&self, member: &Value) -> Option<Score> {
        self.members.get(member).map(|held| held.score)
    }
    pub(super) fn value(&self, member: &Value) -> Option<&Value> {
        let (member, held) = self.members.get_key_value(member)?;
        Some(held.value.as_ref().unwrap_or(member))
    }

    pub(super) fn insert(&mut self, member: &Value, score: Score, value: Option<Value>) {
        let held = Held { score, value: value.clone() };
        match self.members.entry(member.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(held);
            }
            Entry::Occupied(mut slot) => {
                let old = slot.insert(held);
                if old.score != score {
                    self.order.remove(&(old.score, member.clone()));
                }
            }
        }
        self.order.insert((score, member.clone()), value);
    }
    pub(super) fn remove(&mut self, member: &Value) {
        if let Some(held) = self.members.remove(member) {
            self.order.remove(&(held.score, member.clone()));
        }
    }
    /// Changes the score and keeps the value. Adds a missing member.
    pub(super) fn move_to(&mut self, member: &Value, score: Score) {
        let value = self.members.get(member).and_then(|held| held.value.clone());
        self.insert(member, score, value);
    }

    pub(super) fn by_score(
        &self,
        range: &ScoreRange,
    ) -> impl DoubleEndedIterator<Item = Row<'_>> + use<'_> {
        // The empty member sorts first among those of its score, so a bound lies between scores.
        let place = |score| (score, Value::default());
        let rows = range.half_open().map(|(first, end)| {
            let end = end.map_or(Bound::Unbounded, |end| Bound::Excluded(place(end)));
            self.order.range((Bound::Included(place(first)), end))
        });
        rows.into_iter().flatten().map(|((score, member), value)| (member, *score, value))
    }
    pub(super) fn by_lex(
        &self,
        range: &LexRange,
    ) -> impl DoubleEndedIterator<Item = Row<'_>> + use<'_> {
        // `BTreeMap::range` panics if the bounds cross.
        let rows = (!range.is_empty())
            .then(|| self.members.range::<Value, _>((range.min.as_ref(), range.max.as_ref())));
        rows.into_iter().flatten().map(|(member, held)| (member, held.score, &held.value))
    }

    pub(super) fn range(&self, op: &ZRange) -> Reply {
        match &op.range {
            Range::Score(range) => answer(self.by_score(range), op),
            Range::Lex(range) => answer(self.by_lex(range), op),
        }
    }
}

fn answer<'a>(rows: impl DoubleEndedIterator<Item = Row<'a>>, op: &ZRange) -> Reply {
    if op.rev { collect(rows.rev(), op) } else { collect(rows, op) }
}

fn collect<'a>(rows: impl Iterator<Item = Row<'a>>, op: &ZRange) -> Reply {
    let limit = op.limit.unwrap_or(usize::MAX);
    let rows = rows.take(limit);
    let shown = |member: &Value, value: &Option<Value>| match value {
        Some(value) if op.values => value.clone(),
        _ => member.clone(),
    };
    // The number is only known at the end. Most ranges are small pages.
    let capacity = limit.min(16);
    if op.scores {
        let rows = rows.map(|(member, score, value)| (shown(member, value), score.get()));
        Reply::Scored(gather(rows, capacity))
    } else {
        Reply::Values(gather(rows.map(|(member, _, value)| shown(member, value)), capacity))
    }
}

fn gather<T>(rows: impl Iterator<Item = T>, capacity: usize) -> Vec<T> {
    let mut gathered = Vec::with_capacity(capacity);
    gathered.extend(rows);
    gathered
}
