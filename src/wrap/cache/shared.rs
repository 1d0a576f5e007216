//! The table that all callers share: shards, each a map and a clock, behind a lock that readers do not write together.
//!
//! A hit writes no memory that another thread writes, too, but for the count of what it hands out, unless that is a copy (see `entry.rs`):
//!
//! - The lock of a shard is a `ShardedLock`: each thread takes a part of its own to read, and whoever changes the shard takes
//!   all of its parts. So reading is cheap and changing is not, as it should be: a change comes with a call to the backend.
//! - What is asked is answered under that lock, so that nobody counts who holds the entry.
//! - That an entry was used is written until it is known to be used often, and then only read.
//!
//! What gives way is found as S3-FIFO does it: what is new is young, and old only if it was used, or asked for again soon after it
//! had to go. A tenth of the bound is for the young, so a scan of any length takes no more than that. Each of the two is a clock:
//! a hand goes round, and removes what was not used since it last came by. The old are spared as often as they were used, up to
//! [`OFTEN`] times.

use super::entry::{Entry, Unit};
use crate::Key;
use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use hashbrown::HashTable;
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

/// How many rounds of the clock an entry can be spared.
const OFTEN: u8 = 3;

type Hasher = foldhash::fast::RandomState;

pub(super) struct Shared {
    shards: Box<[ShardedLock<Shard>]>,
    hasher: Hasher,
    evicted: AtomicU64,
    unit: Unit,
    /// Of each shard; what does not divide is not rounded up.
    bound: u64,
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
}

impl Shared {
    pub(super) fn new(unit: Unit, bound: u64) -> Self {
        // Many shards, so that a change keeps few readers waiting; not so many that chance fills some and leaves others empty.
        let each = match unit {
            Unit::Replies => 1,
            Unit::Bytes => 512,
        };
        let shards = 1 << (bound / each / 256).clamp(1, 64).ilog2();
        Shared {
            shards: (0..shards).map(|_| ShardedLock::default()).collect(),
            hasher: Default::default(),
            evicted: AtomicU64::new(0),
            unit,
            bound: bound / shards,
        }
    }
    #[inline]
    fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key)
    }
    /// By bits of the hash that the map of the shard does not look at: those are the low ones, and the seven highest.
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

    /// Hands the entry of `key` to `f`, under the lock of its shard.
    #[inline]
    pub(super) fn with<T>(&self, key: &Key, f: impl FnOnce(&Entry) -> Option<T>) -> Option<T> {
        let hash = self.hash(key);
        let shard = self.read(hash);
        let slot = shard.find(hash, key)?;
        // Two who write it at once count as one use, which does no harm.
        let used = slot.used.load(Ordering::Relaxed);
        if used < OFTEN {
            slot.used.store(used + 1, Ordering::Relaxed);
        }
        f(&slot.entry)
    }
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        let hash = self.hash(key);
        self.read(hash).find(hash, key).map(|slot| Arc::clone(&slot.entry))
    }
    pub(super) fn put(&self, key: &Key, entry: Arc<Entry>) {
        let (hash, weight) = (self.hash(key), self.unit.of(&entry));
        let mut shard = self.change(hash);
        let old = shard.remove(hash, key, self.unit);
        if weight > self.bound {
            self.gave_way(&entry);
            return;
        }
        while shard.weight() + weight > self.bound
            && let Some(slot) = shard.evict(self.unit, self.bound)
        {
            self.gave_way(&slot.entry);
        }
        let (age, used) = match old {
            Some(slot) => (slot.age, slot.used),
            None => (shard.age(hash), AtomicU8::new(0)),
        };
        let slot = Slot { key: key.clone(), entry, age, place: 0, used };
        shard.insert(hash, slot, self.unit);
    }
    #[cold]
    fn gave_way(&self, entry: &Entry) {
        self.evicted.fetch_add(entry.replies() as u64, Ordering::Relaxed);
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
            shard.read().unwrap_or_else(PoisonError::into_inner).weight()
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
            let used = found.get_mut().used.get_mut();
            if age == Age::Old && *used > 0 {
                *used -= 1;
                clock.hand = (place + 1) % clock.hashes.len();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Consistency;
    use crate::{Read, Reply, ops::Get};

    fn entry(key: &Key) -> Arc<Entry> {
        let read = Read::from(Get::new(key));
        Entry::with(None, Consistency::Strong, &read, &Reply::Value(None), None, false).into()
    }
    fn key(i: u64) -> Key {
        i.to_string().into()
    }
    fn knows(table: &Shared, i: u64) -> bool {
        table.with(&key(i), |_| Some(())).is_some()
    }

    /// Every slot is where its clock says, no hash is on a clock without one, and the weights are the sums.
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
                    1..=4 => table.put(&key(i), entry(&key(i))),
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
        (0..50).for_each(|i| table.put(&key(i), entry(&key(i))));
        assert_eq!(used(), 50);
        (1_000..3_000).for_each(|i| table.put(&key(i), entry(&key(i))));
        assert_eq!(used(), 50);
    }

    #[test]
    fn what_is_heavier_than_the_bound_is_not_kept_and_nothing_gives_way_to_it() {
        let table = Shared::new(Unit::Bytes, 1_000);
        table.put(&key(1), entry(&key(1)));
        let long = Key::from(vec![b'k'; 1_000]);
        table.put(&long, entry(&long));
        assert!(knows(&table, 1) && table.get(&long).is_none());
        assert_eq!(table.evicted(), 1);
    }
}
