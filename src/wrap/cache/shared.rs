//! The shared table: a sharded S3-FIFO map behind a reader-striped lock (`ShardedLock`).
//!
//! A hit of a string that is used often writes no memory that another thread writes, too:
//!
//! - The lock of a shard is a `ShardedLock`: each thread takes a part of its own to read, and
//!   whoever changes the shard takes all of its parts. So reading is cheap and changing is not, as
//!   it should be: a change comes with a call to the backend.
//! - What is asked is answered under that lock, so that nobody counts who holds the entry.
//! - That an entry was used is written until it is known to be used often, and then only read.
//! - From then on a thread is handed a copy of its own (see `copies.rs`), while there is room: in a
//!   table that is bounded in bytes a sixteenth of the bound. What leaves the table and what a hand
//!   goes by, gives that room back, so it follows what is used. Longer values, and those of
//!   collections, are counted where they are.
//!
//! What gives way is found as S3-FIFO does it: what is new is young, and old only if it was used,
//! or asked for again soon after it had to go. A tenth of the bound is for the young, so a scan of
//! any length takes no more than that. Each of the two is a clock: a hand goes round, and removes
//! what was not used since it last came by. The old are spared as often as they were used, up to
//! [`OFTEN`] times.

use super::copies::Room;
use super::entry::{Entry, Unit};
use crate::Key;
use crate::backend::Consistency;
use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use hashbrown::HashTable;
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

/// How many rounds of the clock an entry can be spared.
const OFTEN: u8 = 3;

/// How many bytes of the bound a shard has at least, if it is bounded in bytes and there are two.
const LEAST_SHARD: u64 = 1 << 20;

type Hasher = foldhash::fast::RandomState;

pub(super) struct Shared {
    shards: Box<[ShardedLock<Shard>]>,
    hasher: Hasher,
    evicted: AtomicU64,
    unit: Unit,
    /// What the entries of each shard may weigh; what does not divide is not rounded up.
    bound: u64,
    /// How many bytes the copies of each shard may take.
    copied: u64,
}

struct Slot {
    key: Key,
    entry: Arc<Entry>,
    age: Age,
    /// Where its hash is on the clock.
    place: usize,
    used: AtomicU8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Young,
    Old,
}

#[derive(Default)]
struct Clock {
    /// Of all slots of one age.
    hashes: Vec<u64>,
    hand: usize,
    weight: u64,
}

#[derive(Default)]
struct Shard {
    slots: HashTable<Slot>,
    /// By [`Age`].
    clocks: [Clock; 2],
    /// The hashes of what had to go young, lately and before: as many as there are slots, at most.
    gone: [HashSet<u64, Hasher>; 2],
    /// The bytes that the copies of all slots take. Readers write it.
    copied: AtomicU64,
}

impl Shared {
    pub(super) fn new(unit: Unit, bound: u64) -> Self {
        // Many shards, so that a change keeps few readers waiting; not so many that chance fills
        // some and leaves others empty, or that a long value finds no room in any.
        let least = match unit {
            Unit::Replies => 256,
            Unit::Bytes => LEAST_SHARD,
        };
        let shards = 1 << (bound / least).clamp(1, 64).ilog2();
        let (bound, copied) = match unit {
            Unit::Replies => (bound / shards, u64::MAX),
            Unit::Bytes => (bound / shards - bound / shards / 16, bound / shards / 16),
        };
        Shared {
            shards: (0..shards).map(|_| ShardedLock::default()).collect(),
            hasher: Default::default(),
            evicted: AtomicU64::new(0),
            unit,
            bound,
            copied,
        }
    }
    #[inline]
    fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key)
    }
    /// By bits of the hash that the map of the shard does not look at: those are the low ones, and
    /// the seven highest.
    #[inline]
    fn shard(&self, hash: u64) -> &ShardedLock<Shard> {
        &self.shards[(hash >> 40) as usize & (self.shards.len() - 1)]
    }
    #[inline]
    fn read(&self, hash: u64) -> ShardedLockReadGuard<'_, Shard> {
        // Nothing panics under it.
        self.shard(hash).read().unwrap_or_else(PoisonError::into_inner)
    }
    fn change(&self, hash: u64) -> ShardedLockWriteGuard<'_, Shard> {
        self.shard(hash).write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the entry of `key` to `f`, under the lock of its shard, and the room for copies of it.
    #[inline]
    pub(super) fn with<T>(
        &self,
        key: &Key,
        f: impl FnOnce(&Entry, Room<'_>) -> Option<T>,
    ) -> Option<T> {
        let hash = self.hash(key);
        let shard = self.read(hash);
        let slot = shard.find(hash, key)?;
        // Two who write it at once count as one use, which does no harm.
        let used = slot.used.load(Ordering::Relaxed);
        let mut room = Room { taken: &shard.copied, most: self.copied };
        if used < OFTEN {
            slot.used.store(used + 1, Ordering::Relaxed);
            room.most = 0;
        }
        f(&slot.entry, room)
    }
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        let hash = self.hash(key);
        self.read(hash).find(hash, key).map(|slot| Arc::clone(&slot.entry))
    }
    pub(super) fn put(&self, key: &Key, mut entry: Entry, how: Consistency) {
        let gave_way = entry.fit(how, self.unit, self.bound);
        self.gave_way(gave_way);
        let (hash, weight) = (self.hash(key), self.unit.of(&entry));
        let mut shard = self.change(hash);
        let old = shard.remove(hash, key, self.unit);
        if weight > self.bound {
            self.gave_way(entry.replies());
            return;
        }
        while shard.weight() + weight > self.bound
            && let Some(slot) = shard.evict(self.unit, self.bound)
        {
            self.gave_way(slot.entry.replies());
        }
        let (age, used) = match old {
            Some(slot) => (slot.age, slot.used),
            None => (shard.age(hash), AtomicU8::new(0)),
        };
        let slot = Slot { key: key.clone(), entry: entry.into(), age, place: 0, used };
        shard.insert(hash, slot, self.unit);
    }
    fn gave_way(&self, replies: usize) {
        if replies > 0 {
            self.evicted.fetch_add(replies as u64, Ordering::Relaxed);
        }
    }
    pub(super) fn remove(&self, key: &Key) {
        let hash = self.hash(key);
        // Most writes are of keys that are not here.
        let is_here = self.read(hash).find(hash, key).is_some();
        if is_here {
            let _dropped_outside_of_the_lock = self.change(hash).remove(hash, key, self.unit);
        }
    }
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            *shard = Shard::default();
        }
    }
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
    pub(super) fn weight(&self) -> u64 {
        let weight = |shard: &ShardedLock<Shard>| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            match self.unit {
                Unit::Replies => shard.weight(),
                Unit::Bytes => shard.weight() + shard.copied.load(Ordering::Relaxed),
            }
        };
        self.shards.iter().map(weight).sum()
    }
}

impl Shard {
    #[inline]
    fn find(&self, hash: u64, key: &Key) -> Option<&Slot> {
        self.slots.find(hash, |slot| slot.key == *key)
    }
    fn weight(&self) -> u64 {
        self.clocks.iter().map(|clock| clock.weight).sum()
    }
    /// Of what is not here.
    fn age(&mut self, hash: u64) -> Age {
        match self.gone.iter_mut().any(|gone| gone.remove(&hash)) {
            true => Age::Old,
            false => Age::Young,
        }
    }
    /// Right behind the hand, so that it is looked at last.
    fn insert(&mut self, hash: u64, mut slot: Slot, unit: Unit) {
        let clock = &mut self.clocks[slot.age as usize];
        let (hand, last) = (clock.hand, clock.hashes.len());
        clock.hashes.push(hash);
        clock.weight += unit.of(&slot.entry);
        *self.copied.get_mut() += slot.entry.copied();
        clock.hand = (hand + 1) % clock.hashes.len();
        if hand < last {
            self.relocate(slot.age, hand, last);
            self.clocks[slot.age as usize].hashes[hand] = hash;
        }
        slot.place = hand;
        self.slots
            .insert_unique(hash, slot, |slot| self.clocks[slot.age as usize].hashes[slot.place]);
    }
    fn remove(&mut self, hash: u64, key: &Key, unit: Unit) -> Option<Slot> {
        let found = self.slots.find_entry(hash, |slot| slot.key == *key).ok()?;
        let slot = found.remove().0;
        self.leave(&slot, unit);
        Some(slot)
    }
    /// Removes the first that a hand finds unused.
    fn evict(&mut self, unit: Unit, bound: u64) -> Option<Slot> {
        loop {
            let [young, old] = &self.clocks;
            let age = match young.weight > bound / 10 || old.hashes.is_empty() {
                true => Age::Young,
                false => Age::Old,
            };
            let clock = &mut self.clocks[age as usize];
            let (place, hash) = (clock.hand, *clock.hashes.get(clock.hand)?);
            let is_it = |slot: &Slot| slot.age == age && slot.place == place;
            let mut found = self.slots.find_entry(hash, is_it).ok()?;
            let Slot { entry, used, .. } = found.get_mut();
            let used = used.get_mut();
            if age == Age::Old && *used > 0 {
                *used -= 1;
                clock.hand = (place + 1) % clock.hashes.len();
                *self.copied.get_mut() -= give_up_copies(entry);
                continue;
            }
            let slot = found.remove().0;
            self.leave(&slot, unit);
            match slot.used.load(Ordering::Relaxed) {
                0 if age == Age::Young => self.has_gone(hash),
                0 => {}
                _ => {
                    let used = AtomicU8::new(0);
                    self.insert(hash, Slot { age: Age::Old, used, ..slot }, unit);
                    continue;
                }
            }
            return Some(slot);
        }
    }
    fn has_gone(&mut self, hash: u64) {
        let [lately, before] = &mut self.gone;
        if lately.len() > self.slots.len() / 2 {
            std::mem::swap(lately, before);
            lately.clear();
        }
        lately.insert(hash);
    }
    /// Closes the gap that `slot`, which has left the map, has left on its clock.
    fn leave(&mut self, slot: &Slot, unit: Unit) {
        let clock = &mut self.clocks[slot.age as usize];
        clock.weight -= unit.of(&slot.entry);
        *self.copied.get_mut() -= slot.entry.copied();
        let last = clock.hashes.len() - 1;
        if clock.hand >= last {
            clock.hand = 0;
        }
        if slot.place < last {
            self.relocate(slot.age, last, slot.place);
        }
        self.clocks[slot.age as usize].hashes.truncate(last);
    }
    fn relocate(&mut self, age: Age, from: usize, to: usize) {
        let hashes = &mut self.clocks[age as usize].hashes;
        let hash = hashes[from];
        hashes[to] = hash;
        let is_it = |slot: &Slot| slot.age == age && slot.place == from;
        if let Some(slot) = self.slots.find_mut(hash, is_it) {
            slot.place = to;
        }
    }
}

/// How many bytes that are.
fn give_up_copies(entry: &mut Arc<Entry>) -> u64 {
    let taken = entry.copied();
    // Nobody else holds it, but for one who is about to replace it.
    if let Some(entry) = Arc::get_mut(entry) {
        entry.give_up_copies();
    }
    taken - entry.copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::op::{Get, Read, Reply};

    fn put(table: &Shared, key: &Key) {
        let read = Read::from(Get::new(key));
        let entry = Entry::with(None, Consistency::Strong, &read, &Reply::Value(None), None);
        table.put(key, entry, Consistency::Strong);
    }
    fn key(i: u64) -> Key {
        i.to_string().into()
    }
    /// Of 100 bytes, so that copies are worth it.
    fn put_long(table: &Shared, key: &Key) {
        let (read, reply) = (Read::from(Get::new(key)), Reply::Value(Some(Value::from(&[7; 100]))));
        let entry = Entry::with(None, Consistency::Strong, &read, &reply, None);
        table.put(key, entry, Consistency::Strong);
    }
    fn ask(table: &Shared, key: &Key) -> Option<Value> {
        let read = Read::from(Get::new(key));
        match table.with(key, |it, room| it.answer(Consistency::Strong, &read, Some(room)))? {
            Reply::Value(value) => value,
            other => panic!("{other:?}"),
        }
    }
    /// Some threads, of which at least one has another number than this one.
    fn on_others(f: impl Fn() + Sync) {
        for _ in 0..2 {
            std::thread::scope(|s| s.spawn(&f).join().expect("no panic"));
        }
    }
    fn knows(table: &Shared, i: u64) -> bool {
        table.with(&key(i), |_, _| Some(())).is_some()
    }

    /// Every slot is where its clock says, no hash is on a clock without one, and the weights are
    /// the sums.
    fn check(shard: &Shard, unit: Unit) {
        for age in [Age::Young, Age::Old] {
            let slots: Vec<_> = shard.slots.iter().filter(|slot| slot.age == age).collect();
            let clock = &shard.clocks[age as usize];
            assert_eq!(slots.len(), clock.hashes.len());
            assert!(clock.hand < slots.len().max(1));
            for (place, hash) in clock.hashes.iter().enumerate() {
                let is_it = |slot: &Slot| slot.age == age && slot.place == place;
                assert!(shard.slots.find(*hash, is_it).is_some());
            }
            assert_eq!(clock.weight, slots.iter().map(|slot| unit.of(&slot.entry)).sum::<u64>());
        }
        let copied: u64 = shard.slots.iter().map(|slot| slot.entry.copied()).sum();
        assert_eq!(shard.copied.load(Ordering::Relaxed), copied);
    }

    #[test]
    fn the_clocks_and_the_map_agree_whatever_happens() {
        for (unit, bound) in [(Unit::Replies, 100), (Unit::Bytes, 20_000)] {
            let table = Shared::new(unit, bound);
            let mut random = fastrand::Rng::with_seed(7);
            for step in 0..20_000 {
                let i = random.u64(..300);
                match random.u8(..10) {
                    0 => table.remove(&key(i)),
                    1..=4 => put(&table, &key(i)),
                    _ => drop(knows(&table, i)),
                }
                assert!(table.weight() <= bound);
                if step % 64 == 0 {
                    table.shards.iter().for_each(|shard| check(&shard.read().unwrap(), unit));
                }
            }
            assert!(table.evicted() > 0 && table.weight() > bound / 2);
        }
    }

    #[test]
    fn what_is_read_again_outlasts_a_scan() {
        let table = Shared::new(Unit::Replies, 100);
        let used = || (0..50).filter(|i| knows(&table, *i)).count();
        (0..50).for_each(|i| put(&table, &key(i)));
        assert_eq!(used(), 50);
        (1_000..3_000).for_each(|i| put(&table, &key(i)));
        assert_eq!(used(), 50);
    }

    #[test]
    fn what_is_heavier_than_the_bound_is_not_kept_and_nothing_gives_way_to_it() {
        let table = Shared::new(Unit::Bytes, 1_000);
        put(&table, &key(1));
        let long = Key::from(vec![b'k'; 1_000]);
        put(&table, &long);
        assert!(knows(&table, 1) && table.get(&long).is_none());
        assert_eq!(table.evicted(), 1);
    }

    #[test]
    fn copies_and_entries_keep_the_bound_whoever_asks_and_whatever_is_removed() {
        let bound = 50_000;
        let table = Shared::new(Unit::Bytes, bound);
        let most = AtomicU64::new(0);
        let work = &|seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..200 {
                // Some are asked for often.
                let key = key(random.u64(..20) * random.u64(..40));
                match random.u8(..100) {
                    0 => table.remove(&key),
                    1..10 => put_long(&table, &key),
                    _ => drop(ask(&table, &key)),
                }
                assert!(table.weight() <= bound);
            }
        };
        for round in 0..300 {
            std::thread::scope(|s| {
                (0..4).for_each(|thread| drop(s.spawn(move || work(4 * round + thread))));
            });
            if round % 100 == 0 {
                table.clear();
            }
            for shard in &table.shards {
                let shard = shard.read().unwrap();
                check(&shard, Unit::Bytes);
                most.fetch_max(shard.copied.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        assert!(table.evicted() > 100);
        let most = most.into_inner();
        assert!(bound / 20 < most && most <= bound / 16, "{most}");
    }

    #[test]
    fn what_is_asked_for_a_few_times_is_not_copied() {
        let (table, key) = (Shared::new(Unit::Replies, 100), key(1));
        put_long(&table, &key);
        let copied = || table.get(&key).map(|entry| entry.copied());
        on_others(|| drop(ask(&table, &key)));
        assert!(ask(&table, &key).is_some());
        assert_eq!(copied(), Some(0));
        on_others(|| drop(ask(&table, &key)));
        assert!(copied() > Some(0));
        // What replaces it begins without, and so gets no room that it was not given.
        let (old, read) =
            (table.get(&key), Read::from(crate::op::HGet::new(&key, Value::from("f"))));
        let how = Consistency::Strong;
        let more = Entry::with(old.as_deref(), how, &read, &Reply::Value(None), None);
        table.put(&key, more, how);
        assert_eq!(copied(), Some(0));
        assert!(ask(&table, &key).is_some());
    }

    #[test]
    fn what_the_hand_goes_by_gives_up_its_copies_and_stays() {
        let (table, hot) = (Shared::new(Unit::Bytes, 40_000), key(0));
        put_long(&table, &hot);
        assert!(ask(&table, &hot).is_some());
        (1_000..2_000).map(key).for_each(|key| put_long(&table, &key));
        (0..OFTEN).for_each(|_| drop(ask(&table, &hot)));
        on_others(|| drop(ask(&table, &hot)));
        let copied = || table.get(&hot).map(|entry| entry.copied());
        assert!(copied() > Some(0));
        // All of them are asked for again, so they become old.
        for key in (1..1_000).map(key) {
            put_long(&table, &key);
            assert!(ask(&table, &key).is_some() && ask(&table, &hot).is_some());
        }
        assert_eq!(copied(), Some(0));
        on_others(|| drop(ask(&table, &hot)));
        assert!(copied() > Some(0));
    }
}
