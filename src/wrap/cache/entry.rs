//! What is kept of one key, and which questions it answers.
//!
//! An entry never changes: to keep one more reply is to make a new entry. So a hit needs no lock of
//! its own, and what it hands out is a clone of an immutable value. The question is the operation
//! itself, so that a new kind of read is cached with no line here but for its weight; two kinds
//! know more than their own question, and `answer` is the list of them.
//!
//! The value of a string can be there once for each thread, which changes nothing of what an entry
//! says: see `copies.rs`.

use super::copies::{Copies, Room};
use crate::backend::Consistency;
use crate::op::{HGet, ZRange};
use crate::op::{Read, Reply};
use std::sync::Arc;
use std::time::Instant;

/// The most replies that are kept of one key, strong and eventual ones each. The one that is the
/// oldest then gives way.
const MOST: usize = 128;
/// What a reply takes beside its bytes and those of its question: both of them, and what else is
/// here of it.
const OF_REPLY: usize = 192;
/// What an entry takes beside that: the places in the tables, the key in them, and what an
/// allocation takes.
const OF_ENTRY: usize = 320;

/// One reply, in one entry.
#[derive(Clone, Debug)]
struct Kept {
    known: Arc<Known>,
    /// Of the reply, if it is a value and they are worth it. They go with the entry.
    copies: Option<Copies>,
}

#[derive(Debug)]
struct Known {
    read: Read,
    reply: Reply,
    bytes: usize,
    /// When it may no longer be handed out.
    dies: Option<Instant>,
}

impl Kept {
    #[inline]
    fn is_dead(&self) -> bool {
        self.known.dies.is_some_and(|dies| dies <= Instant::now())
    }
}

/// The replies of one key, by how fresh they had to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    strong: Vec<Kept>,
    eventual: Vec<Kept>,
    /// When the replies in `eventual` die, if a write has invalidated them.
    outdated: Option<Instant>,
}

impl Entry {
    /// The answer to `read`, if it is known. A strong read is never answered from what a replica
    /// has said. Without room, nothing is copied.
    #[inline]
    pub(super) fn answer(
        &self,
        how: Consistency,
        read: &Read,
        room: Option<Room<'_>>,
    ) -> Option<Reply> {
        let strong = find(&self.strong, read, room);
        match how {
            Consistency::Eventual if strong.is_none() => self.answer_eventual(read, room),
            _ => strong,
        }
    }
    fn answer_eventual(&self, read: &Read, room: Option<Room<'_>>) -> Option<Reply> {
        find(self.still_eventual(), read, room)
    }
    /// The eventual ones, while what a write has outdated may be seen.
    fn still_eventual(&self) -> &[Kept] {
        match self.outdated {
            Some(dies) if dies <= Instant::now() => &[],
            _ => &self.eventual,
        }
    }
    /// Whether there is anything that it answers.
    pub(super) fn is_alive(&self) -> bool {
        !self.strong.iter().chain(self.still_eventual()).all(Kept::is_dead)
    }

    /// The same and one more reply.
    pub(super) fn with(
        old: Option<&Entry>,
        how: Consistency,
        read: &Read,
        reply: &Reply,
        dies: Option<Instant>,
    ) -> Entry {
        let mut entry = old.cloned().unwrap_or_default();
        let list = match how {
            Consistency::Strong => &mut entry.strong,
            Consistency::Eventual => {
                // What is new is not outdated, and what is outdated does not get young again beside
                // it.
                if entry.outdated.take().is_some() {
                    entry.eventual.clear();
                }
                &mut entry.eventual
            }
        };
        let mut reply = reply.clone();
        if let Reply::Fields(fields) = &mut reply {
            fields.sort_unstable();
        }
        list.retain(|kept| !is_same_but_for_limit(&kept.known.read, read));
        let bytes = OF_REPLY + read.key().len() + read.size() + reply.size();
        let copies = match &reply {
            Reply::Value(Some(value)) => Copies::of(value),
            _ => None,
        };
        list.reserve_exact(1);
        list.push(Kept {
            known: Arc::new(Known { read: read.clone(), reply, bytes, dies }),
            copies,
        });
        entry
    }
    /// Has the oldest replies give way until those that are left are not heavier than `most`, or
    /// there is only the one that was added last, which is one of `how`. Those that had to be as
    /// fresh go last. The answer is how many.
    pub(super) fn fit(&mut self, how: Consistency, unit: Unit, most: u64) -> usize {
        let before = self.replies();
        loop {
            let is_heavy = unit.of(self) > most;
            let (own, other) = match how {
                Consistency::Strong => (&mut self.strong, &mut self.eventual),
                Consistency::Eventual => (&mut self.eventual, &mut self.strong),
            };
            match is_heavy {
                _ if own.len() > MOST => own.remove(0),
                true if !other.is_empty() => other.remove(0),
                true if own.len() > 1 => own.remove(0),
                _ => return before - self.replies(),
            };
        }
    }

    /// What is left of it after a write: what eventual reads may still see until `dies`.
    pub(super) fn outdated(&self, dies: Instant) -> Option<Entry> {
        if self.eventual.is_empty() {
            return None;
        }
        let dies = self.outdated.map_or(dies, |earlier| earlier.min(dies));
        Some(Entry { strong: Vec::new(), eventual: self.eventual.clone(), outdated: Some(dies) })
    }

    /// How many replies it holds.
    pub(super) fn replies(&self) -> usize {
        self.strong.len() + self.eventual.len()
    }
    /// How many bytes it takes, more or less, without copies.
    pub(super) fn bytes(&self) -> usize {
        let replies = self.strong.iter().chain(&self.eventual);
        OF_ENTRY + replies.map(|kept| kept.known.bytes).sum::<usize>()
    }
    /// How many bytes its copies take. It stays the same while nobody asks.
    pub(super) fn copied(&self) -> u64 {
        let copies = self.strong.iter().chain(&self.eventual).filter_map(|it| it.copies.as_ref());
        copies.map(Copies::bytes).sum()
    }
    /// Gives up its copies.
    pub(super) fn give_up_copies(&mut self) {
        let kept = self.strong.iter_mut().chain(&mut self.eventual);
        kept.filter_map(|kept| kept.copies.as_mut()).for_each(Copies::clear);
    }
}

#[inline]
fn find(list: &[Kept], read: &Read, room: Option<Room<'_>>) -> Option<Reply> {
    list.iter().find_map(|kept| {
        let reply = answer(kept, read, room)?;
        match kept.is_dead() {
            true => None,
            false => Some(reply),
        }
    })
}

/// What `kept` says to `asked`, which is about the same key.
#[inline]
fn answer(kept: &Kept, asked: &Read, room: Option<Room<'_>>) -> Option<Reply> {
    let reply = &kept.known.reply;
    match (&kept.known.read, asked) {
        (Read::Get(_), Read::Get(_)) => Some(match (reply, &kept.copies, room) {
            (Reply::Value(Some(value)), Some(copies), Some(room)) => {
                Reply::Value(Some(copies.mine(value, room)))
            }
            _ => reply.clone(),
        }),
        (Read::HGetAll(_), Read::HGet(asked)) => field(reply, asked),
        (Read::ZRange(kept), Read::ZRange(asked)) => start(kept, reply, asked),
        (kept, asked) if kept == asked => Some(reply.clone()),
        _ => None,
    }
}

/// A whole hash knows each of its fields, and those that it lacks. Its fields are in order.
fn field(hash: &Reply, asked: &HGet) -> Option<Reply> {
    let Reply::Fields(fields) = hash else { return None };
    let found = fields.binary_search_by(|(field, _)| field.cmp(&asked.field)).ok();
    Some(Reply::Value(found.map(|i| fields[i].1.clone())))
}

/// A longer range begins with the shorter one. A range that came out shorter than its limit is all
/// there is.
fn start(kept: &ZRange, reply: &Reply, asked: &ZRange) -> Option<Reply> {
    if !is_same_range(kept, asked) {
        return None;
    }
    let len = match reply {
        Reply::Values(values) => values.len(),
        Reply::Scored(members) => members.len(),
        _ => return None,
    };
    let is_all = kept.limit.is_none_or(|limit| len < limit);
    let wanted = asked.limit.unwrap_or(usize::MAX);
    if !is_all && wanted > len {
        return None;
    }
    Some(match reply {
        Reply::Values(values) => Reply::Values(values[..wanted.min(len)].to_vec()),
        Reply::Scored(members) => Reply::Scored(members[..wanted.min(len)].to_vec()),
        _ => return None,
    })
}

/// Whether they differ at most in their limits. Names and values are told apart: `zrange` and
/// `zhrange`.
fn is_same_range(a: &ZRange, b: &ZRange) -> bool {
    a.values == b.values && a.scores == b.scores && a.rev == b.rev && a.range == b.range
}

fn is_same_but_for_limit(a: &Read, b: &Read) -> bool {
    match (a, b) {
        (Read::ZRange(a), Read::ZRange(b)) => is_same_range(a, b),
        _ => a == b,
    }
}

/// By which the bound of a table is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Replies,
    Bytes,
}

impl Unit {
    pub(super) fn of(self, entry: &Entry) -> u64 {
        match self {
            Unit::Replies => entry.replies() as u64,
            Unit::Bytes => entry.bytes() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use std::time::Duration;

    fn range(limit: Option<usize>) -> Read {
        Read::ZRange(ZRange { limit, ..ZRange::new("z") })
    }
    fn members(n: usize) -> Reply {
        Reply::Values((0..n).map(|i| Value::from(format!("{i:03}"))).collect())
    }
    fn kept(read: &Read, reply: &Reply) -> Entry {
        Entry::with(None, Consistency::Strong, read, reply, None)
    }

    #[test]
    fn a_cached_range_answers_a_smaller_limit_and_never_a_longer_one() {
        let five = kept(&range(Some(5)), &members(5));
        for limit in 0..=5 {
            let answer = five.answer(Consistency::Strong, &range(Some(limit)), None);
            assert_eq!(answer, Some(members(limit)));
        }
        assert_eq!(five.answer(Consistency::Strong, &range(Some(6)), None), None);
        assert_eq!(five.answer(Consistency::Strong, &range(None), None), None);
        // Three where five were asked for: there are no more.
        let all = kept(&range(Some(5)), &members(3));
        assert_eq!(all.answer(Consistency::Strong, &range(None), None), Some(members(3)));
    }

    #[test]
    fn a_reply_that_has_outlived_its_time_is_not_handed_out() {
        let get = Read::from(crate::op::Get::new("k"));
        let (now, reply) = (Instant::now(), Reply::Value(None));
        for (dies, known) in [(now, false), (now + Duration::from_secs(60), true)] {
            let entry = Entry::with(None, Consistency::Strong, &get, &reply, Some(dies));
            assert_eq!(entry.answer(Consistency::Strong, &get, None).is_some(), known);
        }
    }

    #[test]
    fn what_a_write_has_outdated_lives_as_long_as_stated_and_for_eventual_reads_alone() {
        let get = Read::from(crate::op::Get::new("k"));
        let entry = Entry::with(None, Consistency::Eventual, &get, &Reply::Value(None), None);
        let now = Instant::now();
        for (dies, known) in [(now, false), (now + Duration::from_secs(60), true)] {
            let entry = entry.outdated(dies).expect("it holds a reply");
            assert_eq!(entry.answer(Consistency::Eventual, &get, None).is_some(), known);
            assert_eq!(entry.answer(Consistency::Strong, &get, None), None);
            // A second write does not make it live longer.
            let later = entry.outdated(now + Duration::from_secs(90)).expect("it holds a reply");
            assert_eq!(later.outdated, Some(dies));
        }
    }

    #[test]
    fn the_replies_of_one_key_are_bounded() {
        let (mut entry, mut gave_way) = (Entry::default(), 0);
        let (how, reply) = (Consistency::Strong, Reply::Value(None));
        for i in 0..2 * MOST {
            let read = HGet::new("h", Value::from(i.to_string())).into();
            entry = Entry::with(Some(&entry), how, &read, &reply, None);
            gave_way += entry.fit(how, Unit::Replies, u64::MAX);
        }
        assert_eq!((entry.replies(), gave_way), (MOST, MOST));
        let newest = HGet::new("h", Value::from((2 * MOST - 1).to_string())).into();
        assert!(entry.answer(Consistency::Strong, &newest, None).is_some());
    }
}
