//! What is kept of one key, and which questions it answers.
//!
//! An entry never changes: to keep one more reply is to make a new entry. So a hit needs no lock of its own, and what it
//! hands out is a clone of an immutable value. The question is the operation itself, so that a new kind of read is cached
//! without a line here; two kinds know more than their own question, and `answer` is the list of them.
//!
//! A clone of a value counts itself where the value is, and what two threads write the processors hand to and fro. So the value of a
//! string can be there once for each thread: see [`Copies`].

use super::counts::thread;
use crate::backend::Consistency;
use crate::ops::{HGet, ZRange};
use crate::{Read, Reply, Value};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// The most replies that are kept of one key. The one that is the oldest then gives way.
const MOST: usize = 128;
/// What a reply costs beside its bytes: the question, the counts, the places in the tables.
const OVERHEAD: usize = 160;

/// One reply.
#[derive(Debug)]
struct Kept {
    read: Read,
    reply: Reply,
    /// If the reply is a value for which they pay.
    copies: Option<Copies>,
    bytes: usize,
    /// When it may no longer be handed out.
    dies: Option<Instant>,
}

/// How many threads get a copy of their own; those that have the same number but for a multiple of it share one.
const COPIES: usize = 8;
/// The longest value of which there are copies. Longer ones take longer to use than to count.
const LONGEST_COPY: usize = 1_024;

/// Copies of a value for other threads than the one that has kept it, each made when it is first asked for.
#[derive(Debug)]
struct Copies {
    keeper: usize,
    others: OnceLock<Box<[OnceLock<Value>; COPIES]>>,
}

impl Copies {
    fn of(reply: &Reply) -> Option<Self> {
        match reply {
            Reply::Value(Some(value)) if value.is_counted() && value.len() <= LONGEST_COPY => {
                Some(Copies { keeper: thread() % COPIES, others: OnceLock::new() })
            }
            _ => None,
        }
    }
    #[inline]
    fn mine(&self, value: &Value) -> Value {
        let mine = thread() % COPIES;
        match mine == self.keeper {
            true => value.clone(),
            false => self.other(mine, value),
        }
    }
    #[inline]
    fn other(&self, mine: usize, value: &Value) -> Value {
        let others = self.others.get_or_init(Box::default);
        others[mine].get_or_init(|| Value::from(value.as_bytes())).clone()
    }
}

/// The replies of one key, by how fresh they had to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    strong: Vec<Arc<Kept>>,
    eventual: Vec<Arc<Kept>>,
    /// When the replies in `eventual` die, if a write has invalidated them.
    outdated: Option<Instant>,
}

impl Entry {
    /// The answer to `read`, if it is known. A strong read is never answered from what a replica has said.
    #[inline]
    pub(super) fn answer(&self, how: Consistency, read: &Read) -> Option<Reply> {
        let strong = find(&self.strong, read);
        match how {
            Consistency::Eventual if strong.is_none() => self.answer_eventual(read),
            _ => strong,
        }
    }
    fn answer_eventual(&self, read: &Read) -> Option<Reply> {
        match self.outdated {
            Some(dies) if dies <= Instant::now() => None,
            _ => find(&self.eventual, read),
        }
    }

    /// The same and one more reply.
    pub(super) fn with(
        old: Option<&Entry>,
        how: Consistency,
        read: &Read,
        reply: &Reply,
        dies: Option<Instant>,
        copied: bool,
    ) -> Entry {
        let mut entry = old.cloned().unwrap_or_default();
        let list = match how {
            Consistency::Strong => &mut entry.strong,
            Consistency::Eventual => {
                // What is new is not outdated, and what is outdated does not get young again beside it.
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
        list.retain(|kept| !is_same_but_for_limit(&kept.read, read));
        if list.len() >= MOST {
            list.remove(0);
        }
        let bytes = OVERHEAD + read.key().len() + size(&reply);
        let copies = copied.then(|| Copies::of(&reply)).flatten();
        list.push(Arc::new(Kept { read: read.clone(), reply, copies, bytes, dies }));
        entry
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
    /// How many bytes it takes, more or less.
    pub(super) fn bytes(&self) -> usize {
        self.strong.iter().chain(&self.eventual).map(|kept| kept.bytes).sum()
    }
}

#[inline]
fn find(list: &[Arc<Kept>], read: &Read) -> Option<Reply> {
    list.iter().find_map(|kept| {
        let reply = answer(kept, read)?;
        match kept.dies {
            Some(dies) if dies <= Instant::now() => None,
            _ => Some(reply),
        }
    })
}

/// What `kept` says to `asked`, which is about the same key.
#[inline]
fn answer(kept: &Kept, asked: &Read) -> Option<Reply> {
    let reply = &kept.reply;
    match (&kept.read, asked) {
        (Read::Get(_), Read::Get(_)) => Some(match (reply, &kept.copies) {
            (Reply::Value(Some(value)), Some(copies)) => Reply::Value(Some(copies.mine(value))),
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

/// A longer range begins with the shorter one. A range that came out shorter than its limit is all there is.
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

/// Whether they differ at most in their limits. Names and values are told apart: `zrange` and `zhrange`.
fn is_same_range(a: &ZRange, b: &ZRange) -> bool {
    a.values == b.values && a.scores == b.scores && a.rev == b.rev && a.range == b.range
}

fn is_same_but_for_limit(a: &Read, b: &Read) -> bool {
    match (a, b) {
        (Read::ZRange(a), Read::ZRange(b)) => is_same_range(a, b),
        _ => a == b,
    }
}

fn size(reply: &Reply) -> usize {
    let value = |value: &Value| size_of::<Value>() + value.len();
    match reply {
        Reply::Value(Some(it)) => value(it),
        Reply::Values(values) => values.iter().map(value).sum(),
        Reply::Scored(members) => members.iter().map(|(member, _)| 8 + value(member)).sum(),
        Reply::Fields(fields) => fields.iter().map(|(field, it)| value(field) + value(it)).sum(),
        _ => 0,
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
    use std::time::Duration;

    fn range(limit: Option<usize>) -> Read {
        Read::ZRange(ZRange { limit, ..ZRange::new("z") })
    }
    fn members(n: usize) -> Reply {
        Reply::Values((0..n).map(|i| Value::from(format!("{i:03}"))).collect())
    }
    fn kept(read: &Read, reply: &Reply) -> Entry {
        Entry::with(None, Consistency::Strong, read, reply, None, true)
    }

    #[test]
    fn a_cached_range_answers_a_smaller_limit_and_never_a_longer_one() {
        let five = kept(&range(Some(5)), &members(5));
        for limit in 0..=5 {
            let answer = five.answer(Consistency::Strong, &range(Some(limit)));
            assert_eq!(answer, Some(members(limit)));
        }
        assert_eq!(five.answer(Consistency::Strong, &range(Some(6))), None);
        assert_eq!(five.answer(Consistency::Strong, &range(None)), None);
        // Three where five were asked for: there are no more.
        let all = kept(&range(Some(5)), &members(3));
        assert_eq!(all.answer(Consistency::Strong, &range(None)), Some(members(3)));
    }

    #[test]
    fn a_reply_that_has_outlived_its_time_is_not_handed_out() {
        let get = Read::from(crate::ops::Get::new("k"));
        let (now, reply) = (Instant::now(), Reply::Value(None));
        for (dies, known) in [(now, false), (now + Duration::from_secs(60), true)] {
            let entry = Entry::with(None, Consistency::Strong, &get, &reply, Some(dies), true);
            assert_eq!(entry.answer(Consistency::Strong, &get).is_some(), known);
        }
    }

    #[test]
    fn what_a_write_has_outdated_lives_as_long_as_stated_and_for_eventual_reads_alone() {
        let get = Read::from(crate::ops::Get::new("k"));
        let entry = Entry::with(None, Consistency::Eventual, &get, &Reply::Value(None), None, true);
        let now = Instant::now();
        for (dies, known) in [(now, false), (now + Duration::from_secs(60), true)] {
            let entry = entry.outdated(dies).expect("it holds a reply");
            assert_eq!(entry.answer(Consistency::Eventual, &get).is_some(), known);
            assert_eq!(entry.answer(Consistency::Strong, &get), None);
            // A second write does not make it live longer.
            let later = entry.outdated(now + Duration::from_secs(90)).expect("it holds a reply");
            assert_eq!(later.outdated, Some(dies));
        }
    }

    #[test]
    fn another_thread_is_handed_a_copy_of_its_own_and_the_same_one_each_time() {
        let get = Read::from(crate::ops::Get::new("k"));
        let reply = |len| Reply::Value(Some(Value::from(vec![7; len])));
        let place = |entry: &Entry| match entry.answer(Consistency::Strong, &get) {
            Some(Reply::Value(Some(value))) => value.as_ptr() as usize,
            other => panic!("{other:?}"),
        };
        for (len, copied) in [(100, true), (LONGEST_COPY, true), (LONGEST_COPY + 1, false)] {
            let entry = kept(&get, &reply(len));
            let ours = place(&entry);
            assert_eq!(place(&entry), ours);
            // Which of them have the same number as this one is not known.
            let entry = &entry;
            let theirs = || std::thread::scope(|s| s.spawn(|| [place(entry), place(entry)]).join());
            let theirs: Vec<_> = (0..COPIES).map(|_| theirs().expect("no panic")).collect();
            assert!(theirs.iter().all(|[first, second]| first == second));
            assert_eq!(theirs.iter().any(|[first, _]| *first != ours), copied, "{len} bytes");
            assert_eq!(entry.answer(Consistency::Strong, &get), Some(reply(len)));
        }
    }

    #[test]
    fn the_replies_of_one_key_are_bounded() {
        let mut entry = Entry::default();
        for i in 0..2 * MOST {
            let read = HGet::new("h", Value::from(i.to_string())).into();
            entry = Entry::with(
                Some(&entry),
                Consistency::Strong,
                &read,
                &Reply::Value(None),
                None,
                true,
            );
        }
        assert_eq!(entry.replies(), MOST);
        let newest = HGet::new("h", Value::from((2 * MOST - 1).to_string())).into();
        assert!(entry.answer(Consistency::Strong, &newest).is_some());
    }
}
