//! [`Entry`]: the replies of one key, and which reads they answer.
//!
//! A reply is never changed, so an answer is a clone of it. The read itself identifies a reply, so
//! a new kind of read is cached without a line here. Two kinds also answer other reads than their
//! own: see `answer`.

use super::replicas::{ReplicaBudget, ThreadReplicas};
use crate::backend::Consistency;
use crate::op::{HGet, ZRange};
use crate::op::{Read, Reply};
use std::sync::Arc;
use std::time::Instant;

/// How many replies of one key are stored, of each consistency. Beyond it, the oldest is evicted.
const MAX_REPLIES_PER_KEY: usize = 128;
/// The bytes of a reply beside its own and those of its read: the types that hold them.
const REPLY_OVERHEAD: usize = 192;
/// The bytes of an entry beside its replies: the slots of the table, its key, and the allocator's.
const ENTRY_OVERHEAD: usize = 320;

/// A reply, in one entry. The entry that replaces this one shares the data, and has its own
/// replicas.
#[derive(Clone, Debug)]
struct CachedReply {
    data: Arc<ReplyData>,
    replicas: Option<ThreadReplicas>,
}

#[derive(Debug)]
struct ReplyData {
    read: Read,
    reply: Reply,
    bytes: usize,
    expires: Option<Instant>,
}

impl CachedReply {
    fn new(read: &Read, mut reply: Reply, expires: Option<Instant>) -> Self {
        if let Reply::Fields(fields) = &mut reply {
            fields.sort_unstable(); // for `field`
        }
        let replicas = match &reply {
            Reply::Value(Some(value)) => ThreadReplicas::of(value),
            _ => None,
        };
        let bytes = REPLY_OVERHEAD + read.key().len() + read.size() + reply.size();
        let data = Arc::new(ReplyData { read: read.clone(), reply, bytes, expires });
        CachedReply { data, replicas }
    }
    #[inline]
    fn is_expired(&self) -> bool {
        self.data.expires.is_some_and(|expires| expires <= Instant::now())
    }
}

/// The replies of one key, by the consistency of their reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    strong: Vec<CachedReply>,
    eventual: Vec<CachedReply>,
    /// When the replies in `eventual` expire because a write has invalidated them.
    eventual_until: Option<Instant>,
}

impl Entry {
    /// The answer to `read`, if it is stored. A strong read is never answered from a reply to an
    /// eventual one. Without a budget, no thread replica is made or used.
    #[inline]
    pub(super) fn answer(
        &self,
        consistency: Consistency,
        read: &Read,
        budget: Option<&ReplicaBudget>,
    ) -> Option<Reply> {
        let strong = find(&self.strong, read, budget);
        match consistency {
            Consistency::Eventual if strong.is_none() => self.answer_eventual(read, budget),
            _ => strong,
        }
    }
    fn answer_eventual(&self, read: &Read, budget: Option<&ReplicaBudget>) -> Option<Reply> {
        find(self.live_eventual(), read, budget)
    }
    fn live_eventual(&self) -> &[CachedReply] {
        match self.eventual_until {
            Some(until) if until <= Instant::now() => &[],
            _ => &self.eventual,
        }
    }
    /// Whether it has a reply that has not expired.
    pub(super) fn is_alive(&self) -> bool {
        !self.strong.iter().chain(self.live_eventual()).all(CachedReply::is_expired)
    }

    /// Adds a reply.
    pub(super) fn with_reply(
        old: Option<Entry>,
        consistency: Consistency,
        read: &Read,
        reply: &Reply,
        expires: Option<Instant>,
    ) -> Entry {
        let mut entry = old.unwrap_or_default();
        let list = match consistency {
            Consistency::Strong => &mut entry.strong,
            Consistency::Eventual => {
                // The new reply is valid, and must not make the invalidated ones valid again.
                if entry.eventual_until.take().is_some() {
                    entry.eventual.clear();
                }
                &mut entry.eventual
            }
        };
        list.retain(|cached| !is_same_except_limit(&cached.data.read, read));
        list.reserve_exact(1);
        list.push(CachedReply::new(read, reply.clone(), expires));
        entry
    }
    /// Evicts the oldest replies, those of the other consistency than `newest` first, until the
    /// entry is not heavier than `max`, or only the reply that was added last is left. Returns how
    /// many.
    pub(super) fn evict_to_fit(&mut self, newest: Consistency, unit: Unit, max: u64) -> usize {
        let before = self.replies();
        loop {
            let is_heavy = unit.weight(self) > max;
            let (own, other) = match newest {
                Consistency::Strong => (&mut self.strong, &mut self.eventual),
                Consistency::Eventual => (&mut self.eventual, &mut self.strong),
            };
            match is_heavy {
                _ if own.len() > MAX_REPLIES_PER_KEY => own.remove(0),
                true if !other.is_empty() => other.remove(0),
                true if own.len() > 1 => own.remove(0),
                _ => return before - self.replies(),
            };
        }
    }
    /// What a write leaves: the replies that eventual reads may get until `until`.
    pub(super) fn invalidated(&self, until: Instant) -> Option<Entry> {
        if self.eventual.is_empty() {
            return None;
        }
        let until = self.eventual_until.map_or(until, |earlier| earlier.min(until));
        let eventual = self.eventual.clone();
        Some(Entry { strong: Vec::new(), eventual, eventual_until: Some(until) })
    }

    pub(super) fn replies(&self) -> usize {
        self.strong.len() + self.eventual.len()
    }
    /// About how many bytes it takes, without thread replicas.
    fn bytes(&self) -> usize {
        let replies = self.strong.iter().chain(&self.eventual);
        ENTRY_OVERHEAD + replies.map(|cached| cached.data.bytes).sum::<usize>()
    }
    /// How many bytes its thread replicas take. Only hits change that.
    pub(super) fn replica_bytes(&self) -> u64 {
        let replies = self.strong.iter().chain(&self.eventual);
        replies.filter_map(|cached| cached.replicas.as_ref()).map(ThreadReplicas::bytes).sum()
    }
    /// Drops its thread replicas. Returns how many bytes they took.
    pub(super) fn drop_replicas(&mut self) -> u64 {
        let bytes = self.replica_bytes();
        let replies = self.strong.iter_mut().chain(&mut self.eventual);
        replies.filter_map(|cached| cached.replicas.as_mut()).for_each(ThreadReplicas::clear);
        bytes
    }
}

#[inline]
fn find(list: &[CachedReply], read: &Read, budget: Option<&ReplicaBudget>) -> Option<Reply> {
    list.iter().find_map(|cached| {
        let reply = answer(cached, read, budget)?;
        if cached.is_expired() { None } else { Some(reply) }
    })
}

/// The answer of `cached` to `asked`, which reads the same key.
#[inline]
fn answer(cached: &CachedReply, asked: &Read, budget: Option<&ReplicaBudget>) -> Option<Reply> {
    let reply = &cached.data.reply;
    match (&cached.data.read, asked) {
        (Read::Get(_), Read::Get(_)) => Some(match (reply, &cached.replicas, budget) {
            (Reply::Value(Some(value)), Some(replicas), Some(budget)) => {
                Reply::Value(Some(replicas.clone_for_thread(value, budget)))
            }
            _ => reply.clone(),
        }),
        (Read::HGetAll(_), Read::HGet(asked)) => field(reply, asked),
        (Read::ZRange(cached), Read::ZRange(asked)) => start(cached, reply, asked),
        (cached, asked) if cached == asked => Some(reply.clone()),
        _ => None,
    }
}

/// The answer of `HGETALL` to `HGET`: also for a field that is not in the hash. The fields are
/// sorted.
fn field(hash: &Reply, asked: &HGet) -> Option<Reply> {
    let Reply::Fields(fields) = hash else { return None };
    let found = fields.binary_search_by(|(field, _)| field.cmp(&asked.field)).ok();
    Some(Reply::Value(found.map(|i| fields[i].1.clone())))
}

/// The answer of a range to the same range with another limit: its start, if it is long enough, or
/// is known to be complete because it is shorter than its own limit.
fn start(cached: &ZRange, reply: &Reply, asked: &ZRange) -> Option<Reply> {
    if !is_same_range(cached, asked) {
        return None;
    }
    let len = match reply {
        Reply::Values(values) => values.len(),
        Reply::Scored(members) => members.len(),
        _ => return None,
    };
    let is_complete = cached.limit.is_none_or(|limit| len < limit);
    let wanted = asked.limit.unwrap_or(usize::MAX);
    if !is_complete && wanted > len {
        return None;
    }
    Some(match reply {
        Reply::Values(values) => Reply::Values(values[..wanted.min(len)].to_vec()),
        Reply::Scored(members) => Reply::Scored(members[..wanted.min(len)].to_vec()),
        _ => return None,
    })
}

/// Whether two ranges are equal except for their limits. `zrange` and `zhrange` differ.
fn is_same_range(a: &ZRange, b: &ZRange) -> bool {
    a.values == b.values && a.scores == b.scores && a.rev == b.rev && a.range == b.range
}

fn is_same_except_limit(a: &Read, b: &Read) -> bool {
    match (a, b) {
        (Read::ZRange(a), Read::ZRange(b)) => is_same_range(a, b),
        _ => a == b,
    }
}

/// The unit of a table's bound.
#[derive(Clone, Copy, Debug)]
pub(in crate::wrap::cache) enum Unit {
    Replies,
    Bytes,
}

impl Unit {
    pub(super) fn weight(self, entry: &Entry) -> u64 {
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

    const STRONG: Consistency = Consistency::Strong;

    fn range(limit: Option<usize>) -> Read {
        Read::ZRange(ZRange { limit, ..ZRange::new("z") })
    }
    fn members(n: usize) -> Reply {
        Reply::Values((0..n).map(|i| Value::from(format!("{i:03}"))).collect())
    }
    fn cached(read: &Read, reply: &Reply) -> Entry {
        Entry::with_reply(None, STRONG, read, reply, None)
    }

    #[test]
    fn a_cached_range_answers_a_smaller_limit_and_never_a_longer_one() {
        let five = cached(&range(Some(5)), &members(5));
        for limit in 0..=5 {
            assert_eq!(five.answer(STRONG, &range(Some(limit)), None), Some(members(limit)));
        }
        assert_eq!(five.answer(STRONG, &range(Some(6)), None), None);
        assert_eq!(five.answer(STRONG, &range(None), None), None);
        // Three replies to a limit of five: there are no more.
        let all = cached(&range(Some(5)), &members(3));
        assert_eq!(all.answer(STRONG, &range(None), None), Some(members(3)));
    }

    #[test]
    fn a_reply_that_has_outlived_its_time_is_not_handed_out() {
        let get = Read::from(crate::op::Get::new("k"));
        let (now, reply) = (Instant::now(), Reply::Value(None));
        for (expires, valid) in [(now, false), (now + Duration::from_secs(60), true)] {
            let entry = Entry::with_reply(None, STRONG, &get, &reply, Some(expires));
            assert_eq!(entry.answer(STRONG, &get, None).is_some(), valid);
        }
    }

    #[test]
    fn what_a_write_has_outdated_lives_as_long_as_stated_and_for_eventual_reads_alone() {
        let get = Read::from(crate::op::Get::new("k"));
        let reply = Reply::Value(None);
        let entry = Entry::with_reply(None, Consistency::Eventual, &get, &reply, None);
        let now = Instant::now();
        for (until, valid) in [(now, false), (now + Duration::from_secs(60), true)] {
            let entry = entry.invalidated(until).expect("it holds a reply");
            assert_eq!(entry.answer(Consistency::Eventual, &get, None).is_some(), valid);
            assert_eq!(entry.answer(STRONG, &get, None), None);
            // A second write does not extend it.
            let later = entry.invalidated(now + Duration::from_secs(90));
            assert_eq!(later.expect("it holds a reply").eventual_until, Some(until));
        }
    }

    #[test]
    fn the_replies_of_one_key_are_bounded() {
        const MAX: usize = MAX_REPLIES_PER_KEY;
        let (mut entry, mut evicted) = (Entry::default(), 0);
        for i in 0..2 * MAX {
            let read = HGet::new("h", Value::from(i.to_string())).into();
            entry = Entry::with_reply(Some(entry), STRONG, &read, &Reply::Value(None), None);
            evicted += entry.evict_to_fit(STRONG, Unit::Replies, u64::MAX);
        }
        assert_eq!((entry.replies(), evicted), (MAX, MAX));
        let newest = HGet::new("h", Value::from((2 * MAX - 1).to_string())).into();
        assert!(entry.answer(STRONG, &newest, None).is_some());
    }
}
