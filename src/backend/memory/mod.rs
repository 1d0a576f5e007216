//! [`Memory`]: std collections behind a lock. It is the reference model of the other backends, so
//! it is written for readability and shares no code with them.
//!
//! One lock is enough: an operation takes some hundred nanoseconds and never waits while it holds
//! the lock. A write is atomic because it is checked first ([`judge`]) and then applied
//! ([`State::apply`]), which cannot fail.

mod sorted_set;

use super::{Backend, Context};
use crate::op::*;
use crate::op::{Condition, Op, Range, Read, Reply, Score, Write};
use crate::{Error, ErrorKind, Key, Outcome, Result, Value};
use foldhash::fast::RandomState;
use sorted_set::SortedSet;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keeps everything in memory until the last clone is dropped. For unit tests: thousands can be
/// created per second, and it behaves like the other backends.
///
/// Clones share the data, so a test can keep one to [`clear`](Self::clear) the store.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{Memory, Store};
/// let memory = Memory::new();
/// let store = Store::new(memory.clone());
/// store.set("k", "v").await?;
/// memory.clear();
/// assert_eq!(store.get("k").await?, None);
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// Using a key as another type is `WrongType` and changes nothing. `set` replaces a string,
/// counter, set or hash, but not a sorted set. `delete` removes any type; in an atomic write not a
/// sorted set. The order of a set differs from run to run, so that no test relies on it.
///
/// # What calls cost
///
/// One lock, held for a whole batch and a whole atomic write. Lookups take constant time; in a
/// sorted set logarithmic time. `zrange` costs a lookup and the members that it returns. `zcount`
/// and `zlexcount` are linear in the range. `delete` is linear in the members of the key.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<State>>);

impl Memory {
    /// A new, empty store.
    pub fn new() -> Self {
        Memory::default()
    }
    /// Removes everything.
    pub fn clear(&self) {
        self.lock().entries.clear();
    }
    /// The number of keys.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }
    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    // The fast path of the store calls these three. They match the two most frequent operations
    // themselves: once inlined, the compiler knows the operation and removes the match.

    #[inline]
    pub(crate) fn answer(&self, op: &Read) -> Result<Reply> {
        match op {
            Read::Get(Get { key }) => self.lock().get(key).map(Reply::Value),
            op => self.lock().read(op),
        }
    }
    /// Moves the values out of `op`.
    #[inline]
    pub(crate) fn apply(&self, op: &mut Write) -> Result<Reply> {
        match op {
            Write::Set(op) => self.lock().set(op, may_set).map(Reply::Applied),
            op => self.lock().write(op),
        }
    }
    /// Moves the values out of `writes`.
    #[inline]
    pub(crate) fn apply_all(&self, writes: &mut [Write]) -> Result<Outcome> {
        self.lock().transact(writes)
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, and no statement leaves the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("keys", &self.len()).finish()
    }
}

impl Backend for Memory {
    async fn read(&self, _: &Context, op: &Read) -> Result<Reply> {
        self.answer(op)
    }
    async fn write(&self, _: &Context, op: &Write) -> Result<Reply> {
        self.apply(&mut op.clone())
    }
    async fn batch(&self, _: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let mut state = self.lock();
        ops.iter()
            .map(|op| match op {
                Op::Read(op) => state.read(op),
                Op::Write(op) => state.write(&mut op.clone()),
            })
            .collect()
    }
    async fn transact(&self, _: &Context, writes: &[Write]) -> Result<Outcome> {
        self.apply_all(&mut writes.to_vec())
    }
}

/// Its order differs from set to set.
type HashSet = std::collections::HashSet<Value, RandomState>;

/// What a key holds. It has the size of a value, so that more of the map fits into the processor's
/// cache. Collections are never empty: they are removed with their last member.
#[derive(Debug)]
enum Entry {
    /// Counters are strings, too: canonical decimal text.
    String(Value),
    Set(Box<HashSet>),
    #[allow(clippy::box_collection, reason = "keeps the entry as small as a value")]
    Hash(Box<BTreeMap<Value, Value>>),
    Sorted(Box<SortedSet>),
}

impl Entry {
    fn is_empty(&self) -> bool {
        match self {
            Entry::String(_) => false,
            Entry::Set(set) => set.is_empty(),
            Entry::Hash(hash) => hash.is_empty(),
            Entry::Sorted(sorted) => sorted.is_empty(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, Entry, RandomState>,
}

/// The entry as one type, or `None` if it is absent. Returns `WrongType` for another type.
macro_rules! expect {
    ($entry:expr, $variant:ident) => {
        match $entry {
            None => None,
            Some(Entry::$variant(inner)) => Some(inner),
            Some(_) => return Err(wrong_type()),
        }
    };
}

fn wrong_type() -> Error {
    Error::wrong_type("the key holds another type")
}

impl State {
    #[inline]
    fn get(&self, key: &Key) -> Result<Option<Value>> {
        Ok(expect!(self.entries.get(key), String).cloned())
    }
    fn read(&self, op: &Read) -> Result<Reply> {
        let entry = self.entries.get(op.key());
        Ok(match op {
            Read::Get(Get { .. }) => Reply::Value(expect!(entry, String).cloned()),
            Read::Exists(Exists { .. }) => Reply::Exists(entry.is_some()),
            Read::SMembers(SMembers { .. }) => {
                let set = expect!(entry, Set);
                Reply::Values(set.map(|set| set.iter().cloned().collect()).unwrap_or_default())
            }
            Read::HGet(HGet { field, .. }) => {
                Reply::Value(expect!(entry, Hash).and_then(|hash| hash.get(field)).cloned())
            }
            Read::HGetAll(HGetAll { .. }) => {
                let pairs = expect!(entry, Hash).into_iter().flat_map(|hash| hash.iter());
                Reply::Fields(pairs.map(|(field, value)| (field.clone(), value.clone())).collect())
            }
            Read::ZScore(ZScore { member, .. }) => {
                let score = expect!(entry, Sorted).and_then(|sorted| sorted.score(member));
                Reply::Score(score.map(Score::get))
            }
            Read::ZHGet(ZHGet { field, .. }) => {
                Reply::Value(expect!(entry, Sorted).and_then(|sorted| sorted.value(field)).cloned())
            }
            Read::ZCount(ZCount { range, .. }) => {
                let sorted = expect!(entry, Sorted);
                Reply::Count(sorted.map_or(0, |sorted| match range {
                    Range::Score(range) => sorted.by_score(range).count() as u64,
                    Range::Lex(range) => sorted.by_lex(range).count() as u64,
                }))
            }
            Read::ZRange(op) => match expect!(entry, Sorted) {
                Some(sorted) => sorted.range(op),
                None if op.scores => Reply::Scored(Vec::new()),
                None => Reply::Values(Vec::new()),
            },
        })
    }

    /// Runs one write. Moves the values out of `op`.
    fn write(&mut self, op: &mut Write) -> Result<Reply> {
        match op {
            // Outside of an atomic write, `delete` removes sorted sets, too.
            Write::Delete(op) => Ok(Reply::Applied(self.entries.remove(&op.key).is_some())),
            Write::Set(op) => self.set(op, may_set).map(Reply::Applied),
            op => self.apply(op, judge),
        }
    }

    fn transact(&mut self, writes: &mut [Write]) -> Result<Outcome> {
        let mut error = None;
        let mut failed = Vec::new();
        for (i, op) in writes.iter().enumerate() {
            match judge(self.entries.get(op.key()), op) {
                Ok(Verdict::Holds) => {}
                Ok(Verdict::ConditionFailed) => failed.push(i),
                Err(e) => drop(error.get_or_insert_with(|| e.of_write(i))),
            }
        }
        if !failed.is_empty() {
            return Ok(Outcome::from_failed_conditions(failed));
        }
        if let Some(error) = error {
            return Err(error);
        }
        // All conditions and types were checked, so none of these fails.
        for op in writes {
            match op {
                Write::Set(op) => drop(self.set(op, |_, _| Ok(true))?),
                op => drop(self.apply(op, |_, _| Ok(Verdict::Holds))?),
            }
        }
        Ok(Outcome::Committed)
    }

    /// Sets a string if `judge` allows it. Returns whether it did. Separate from `apply` because it
    /// is the most frequent write and the simplest.
    #[inline]
    fn set(
        &mut self,
        op: &mut Set,
        judge: impl Fn(Option<&Entry>, &Condition) -> Result<bool>,
    ) -> Result<bool> {
        let entry = self.entries.get_mut(&op.key);
        if !judge(entry.as_deref(), &op.condition)? {
            return Ok(false);
        }
        let value = Entry::String(take(&mut op.value));
        match entry {
            Some(entry) => *entry = value,
            None => drop(self.entries.insert(op.key.clone(), value)),
        }
        Ok(true)
    }

    /// Runs any other write if `judge` allows it.
    fn apply(
        &mut self,
        op: &mut Write,
        judge: impl Fn(Option<&Entry>, &Write) -> Result<Verdict>,
    ) -> Result<Reply> {
        if let Some(entry) = self.entries.get_mut(op.key()) {
            if judge(Some(entry), op)? == Verdict::ConditionFailed {
                return Ok(Reply::Applied(false));
            }
            let reply = change(entry, op);
            if entry.is_empty() {
                self.entries.remove(op.key());
            }
            return reply;
        }
        if judge(None, op)? == Verdict::ConditionFailed {
            return Ok(Reply::Applied(false));
        }
        let mut entry = nothing(op);
        let reply = change(&mut entry, op);
        if reply.is_ok() && !entry.is_empty() {
            self.entries.insert(op.key().clone(), entry);
        }
        reply
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Holds,
    ConditionFailed,
}

/// Whether a string can be set over `entry`.
#[inline]
fn may_set(entry: Option<&Entry>, condition: &Condition) -> Result<bool> {
    Ok(match (condition, entry) {
        (_, Some(Entry::Sorted(_))) => return Err(wrong_type()),
        (Condition::Always, _) => true,
        (Condition::NotExists, entry) => entry.is_none(),
        (Condition::Exists, entry) => entry.is_some(),
        (Condition::Equals(_), None) => false,
        (Condition::Equals(old), Some(Entry::String(value))) => value == old,
        (Condition::Equals(_), Some(Entry::Set(_) | Entry::Hash(_))) => return Err(wrong_type()),
    })
}

/// The same in an atomic write, where the conditions do not see sorted sets.
fn may_set_among_others(entry: Option<&Entry>, condition: &Condition) -> Result<bool> {
    match (condition, entry) {
        (Condition::Exists | Condition::Equals(_), Some(Entry::Sorted(_))) => Ok(false),
        _ => may_set(entry, condition),
    }
}

/// Whether `op` can be applied to `entry`. Changes nothing. Where single and atomic writes differ,
/// this is the rule of the atomic write.
fn judge(entry: Option<&Entry>, op: &Write) -> Result<Verdict> {
    let holds = match op {
        Write::Set(Set { condition, .. }) => may_set_among_others(entry, condition)?,
        Write::Delete(Delete { must_exist, .. }) => match entry {
            Some(Entry::Sorted(_)) => {
                return Err(Error::wrong_type("an atomic write cannot delete a sorted set"));
            }
            entry => !must_exist || entry.is_some(),
        },
        Write::IncrBy(IncrBy { by, .. }) => {
            incremented(expect!(entry, String), *by)?;
            true
        }
        Write::SAdd(_) | Write::SRem(_) => {
            expect!(entry, Set);
            true
        }
        Write::HSet(_) | Write::HDel(_) => {
            expect!(entry, Hash);
            true
        }
        Write::HSetNx(HSetNx { field, .. }) => {
            expect!(entry, Hash).is_none_or(|hash| !hash.contains_key(field))
        }
        Write::ZAdd(ZAdd { member, nx, .. }) => {
            let sorted = expect!(entry, Sorted);
            !nx || sorted.is_none_or(|sorted| sorted.score(member).is_none())
        }
        Write::ZRem(_) => {
            expect!(entry, Sorted);
            true
        }
        Write::ZIncrBy(ZIncrBy { member, by, .. }) => {
            let score = expect!(entry, Sorted).and_then(|sorted| sorted.score(member));
            moved(score, *by)?;
            true
        }
    };
    Ok(if holds { Verdict::Holds } else { Verdict::ConditionFailed })
}

/// The entry that a write of a missing key starts from.
fn nothing(op: &Write) -> Entry {
    match op {
        Write::IncrBy(_) => Entry::String(Value::from_static(b"0")),
        Write::Set(_) | Write::Delete(_) | Write::SAdd(_) | Write::SRem(_) => {
            Entry::Set(Box::default())
        }
        Write::HSet(_) | Write::HSetNx(_) | Write::HDel(_) => Entry::Hash(Box::default()),
        Write::ZAdd(_) | Write::ZRem(_) | Write::ZIncrBy(_) => Entry::Sorted(Box::default()),
    }
}

/// The entry as one type. [`judge`] has checked it; if not, nothing is changed.
macro_rules! is {
    ($entry:expr, $variant:ident) => {
        match $entry {
            Entry::$variant(inner) => inner,
            _ => return Err(wrong_type()),
        }
    };
}

/// Changes an entry after [`judge`] has allowed it. Moves the values out of `op`. Each write has an
/// arm, so a new write does not compile without one.
fn change(entry: &mut Entry, op: &mut Write) -> Result<Reply> {
    match op {
        Write::Set(op) => {
            *entry = Entry::String(take(&mut op.value));
            return Ok(Reply::Applied(true));
        }
        Write::Delete(_) => *entry = Entry::Set(Box::default()),
        Write::IncrBy(op) => {
            let value = is!(entry, String);
            let sum = incremented(Some(value), op.by)?;
            *value = Value::from(itoa::Buffer::new().format(sum));
            return Ok(Reply::Integer(sum));
        }
        Write::SAdd(op) => is!(entry, Set).extend(op.members.drain(..)),
        Write::SRem(op) => {
            let set = is!(entry, Set);
            op.members.iter().for_each(|member| {
                set.remove(member);
            });
        }
        Write::HSet(op) => is!(entry, Hash).extend(op.fields.drain(..)),
        Write::HSetNx(op) => {
            is!(entry, Hash).insert(take(&mut op.field), take(&mut op.value));
            return Ok(Reply::Applied(true));
        }
        Write::HDel(op) => {
            let hash = is!(entry, Hash);
            op.fields.iter().for_each(|field| {
                hash.remove(field);
            });
        }
        Write::ZAdd(op) => {
            is!(entry, Sorted).insert(&op.member, op.score, op.value.take());
            return Ok(Reply::Applied(true));
        }
        Write::ZRem(op) => is!(entry, Sorted).remove(&op.member),
        Write::ZIncrBy(op) => {
            let sorted = is!(entry, Sorted);
            let score = moved(sorted.score(&op.member), op.by)?;
            sorted.move_to(&op.member, score);
            return Ok(Reply::Score(Some(score.get())));
        }
    }
    Ok(Reply::Done)
}

fn incremented(value: Option<&Value>, by: i64) -> Result<i64> {
    let now = match value {
        None => 0,
        Some(value) => value
            .as_canonical_integer()
            .ok_or_else(|| Error::wrong_type("the string is not a decimal integer"))?,
    };
    now.checked_add(by)
        .ok_or_else(|| Error::new(ErrorKind::Overflow, "the sum does not fit into 64 bits"))
}

fn moved(score: Option<Score>, by: Score) -> Result<Score> {
    let sum = score.map_or(0.0, Score::get) + by.get();
    Score::new(sum).map_err(|_| Error::new(ErrorKind::Overflow, "the new score is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_no_larger_than_a_value() {
        assert_eq!(size_of::<Entry>(), size_of::<Value>());
    }

    /// In a release build it was answered as done.
    #[test]
    fn a_write_that_fits_no_entry_is_an_error_and_changes_nothing() {
        let one = Score::new(1.0).unwrap();
        let writes: [Write; 8] = [
            IncrBy::new("k", 1).into(),
            SAdd::new("k", vec!["m".into()]).into(),
            SRem::new("k", vec!["m".into()]).into(),
            HSetNx::new("k", "f".into(), "v".into()).into(),
            HDel::new("k", vec!["f".into()]).into(),
            ZAdd::new("k", "m".into(), one).into(),
            ZRem::new("k", "m".into()).into(),
            ZIncrBy::new("k", "m".into(), one).into(),
        ];
        for mut write in writes {
            let mut entry = Entry::String("text".into());
            let error = change(&mut entry, &mut write).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongType, "{write:?}");
            assert!(matches!(&entry, Entry::String(text) if *text == "text"), "{write:?}");
        }
    }
}
