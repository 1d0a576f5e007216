//! [`Shard`]: a map of entries that evicts by S3-FIFO.
//!
//! A new entry goes into the *small* queue, a tenth of the bound, so a scan of any length takes no
//! more than that. An entry moves to the *main* queue if it is used while it is in the small one,
//! or if it is inserted again soon after its eviction from there, which the *ghosts* remember.
//!
//! Each queue is a clock: a hand goes round, and evicts entries that were not used since it last
//! passed them. An entry in the main queue survives as many rounds as it has uses, up to
//! [`MAX_USES`]. Each round costs it a use and its thread replicas.
//!
//! The queues hold the hashes of the keys, and each slot of the map its position in its queue.

use super::entry::{Entry, Unit};
use super::replicas::ReplicaBudget;
use crate::Key;
use crate::backend::Consistency;
use hashbrown::HashTable;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU8, Ordering};

/// The use count at which a hit stops counting, and from which on a string has thread replicas.
pub(super) const MAX_USES: u8 = 3;

type Hasher = foldhash::fast::RandomState;

pub(super) struct Shard {
    slots: HashTable<Slot>,
    /// By [`Queue`].
    clocks: [Clock; 2],
    /// The hashes of keys that were evicted from the small queue: the latest, and those before. At
    /// most as many as there are slots.
    ghosts: [HashSet<u64, Hasher>; 2],
    budget: ReplicaBudget,
    unit: Unit,
    bound: u64,
}

/// An entry and its place in its queue.
pub(super) struct Slot {
    key: Key,
    /// In a box, as the map has up to twice as many slots as entries.
    entry: Box<Entry>,
    queue: Queue,
    position: usize,
    uses: AtomicU8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Small,
    Main,
}

#[derive(Default)]
struct Clock {
    hashes: Vec<u64>,
    hand: usize,
    weight: u64,
}

impl Slot {
    /// Counts a use. Returns whether the entry had been used often.
    #[inline]
    fn count_use(&self) -> bool {
        // Two threads that count at once may count one use: that does no harm.
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < MAX_USES {
            self.uses.store(uses + 1, Ordering::Relaxed);
            return false;
        }
        true
    }
}

impl Shard {
    pub(super) fn new(unit: Unit, bound: u64, max_replica_bytes: u64) -> Self {
        Shard {
            slots: HashTable::new(),
            clocks: Default::default(),
            ghosts: Default::default(),
            budget: ReplicaBudget::new(max_replica_bytes),
            unit,
            bound,
        }
    }

    /// The entry of `key`, which counts as a use; and the budget for replicas if it is used often.
    #[inline]
    pub(super) fn get(&self, hash: u64, key: &Key) -> Option<(&Entry, Option<&ReplicaBudget>)> {
        let slot = self.find(hash, key)?;
        let budget = if slot.count_use() { Some(&self.budget) } else { None };
        Some((&slot.entry, budget))
    }
    /// The entry of `key`, which does not count as a use.
    pub(super) fn peek(&self, hash: u64, key: &Key) -> Option<&Entry> {
        self.find(hash, key).map(|slot| &*slot.entry)
    }
    /// Replaces the entry of `key` by one whose newest reply is one of `newest`. Returns how many
    /// replies were evicted, including those of the entry itself that do not fit.
    pub(super) fn put(
        &mut self,
        hash: u64,
        key: &Key,
        mut entry: Entry,
        newest: Consistency,
    ) -> usize {
        let mut evicted = entry.evict_to_fit(newest, self.unit, self.bound);
        let old = self.remove(hash, key);
        let weight = self.unit.weight(&entry);
        if weight > self.bound {
            return evicted + entry.replies();
        }
        while self.weight() + weight > self.bound
            && let Some(slot) = self.evict()
        {
            evicted += slot.entry.replies();
        }
        let (queue, uses) = match old {
            Some(old) => (old.queue, old.uses),
            None => (self.first_queue(hash), AtomicU8::new(0)),
        };
        self.insert(hash, Slot { key: key.clone(), entry: entry.into(), queue, position: 0, uses });
        evicted
    }
    pub(super) fn remove(&mut self, hash: u64, key: &Key) -> Option<Slot> {
        let found = self.slots.find_entry(hash, |slot| slot.key == *key).ok()?;
        let slot = found.remove().0;
        self.unlink(&slot);
        self.budget.give_back(slot.entry.replica_bytes());
        Some(slot)
    }
    pub(super) fn clear(&mut self) {
        *self = Shard::new(self.unit, self.bound, self.budget.max());
    }
    /// How much of the bound is used; if that is in bytes, also by replicas.
    pub(super) fn size(&self) -> u64 {
        match self.unit {
            Unit::Replies => self.weight(),
            Unit::Bytes => self.weight() + self.budget.taken(),
        }
    }

    #[inline]
    fn find(&self, hash: u64, key: &Key) -> Option<&Slot> {
        self.slots.find(hash, |slot| slot.key == *key)
    }
    fn weight(&self) -> u64 {
        self.clocks.iter().map(|clock| clock.weight).sum()
    }
    /// The queue for a key that is not in the map.
    fn first_queue(&mut self, hash: u64) -> Queue {
        let was_evicted_lately = self.ghosts.iter_mut().any(|ghosts| ghosts.remove(&hash));
        if was_evicted_lately { Queue::Main } else { Queue::Small }
    }

    /// Removes the first entry that a hand finds unused.
    fn evict(&mut self) -> Option<Slot> {
        loop {
            let queue = self.queue_to_evict_from();
            let clock = &mut self.clocks[queue as usize];
            let (position, hash) = (clock.hand, *clock.hashes.get(clock.hand)?);
            let is_at_hand = |slot: &Slot| slot.queue == queue && slot.position == position;
            let mut found = self.slots.find_entry(hash, is_at_hand).ok()?;
            let slot = found.get_mut();
            let uses = slot.uses.get_mut();
            match (queue, *uses > 0) {
                (Queue::Main, true) => {
                    *uses -= 1;
                    clock.hand = (position + 1) % clock.hashes.len();
                    self.budget.give_back(slot.entry.drop_replicas());
                }
                (Queue::Small, true) => {
                    let slot = found.remove().0;
                    self.unlink(&slot);
                    let uses = AtomicU8::new(0);
                    self.insert(hash, Slot { queue: Queue::Main, uses, ..slot });
                }
                (_, false) => {
                    let slot = found.remove().0;
                    self.unlink(&slot);
                    self.budget.give_back(slot.entry.replica_bytes());
                    if queue == Queue::Small {
                        self.add_ghost(hash);
                    }
                    return Some(slot);
                }
            }
        }
    }
    fn queue_to_evict_from(&self) -> Queue {
        let [small, main] = &self.clocks;
        match small.weight > self.bound / 10 || main.hashes.is_empty() {
            true => Queue::Small,
            false => Queue::Main,
        }
    }
    fn add_ghost(&mut self, hash: u64) {
        let [latest, before] = &mut self.ghosts;
        if latest.len() > self.slots.len() / 2 {
            std::mem::swap(latest, before);
            latest.clear();
        }
        latest.insert(hash);
    }

    /// Inserts right behind the hand of its queue, which reaches it last.
    fn insert(&mut self, hash: u64, mut slot: Slot) {
        let clock = &mut self.clocks[slot.queue as usize];
        let (hand, last) = (clock.hand, clock.hashes.len());
        clock.hashes.push(hash);
        clock.weight += self.unit.weight(&slot.entry);
        clock.hand = (hand + 1) % clock.hashes.len();
        if hand < last {
            self.relocate(slot.queue, hand, last);
            self.clocks[slot.queue as usize].hashes[hand] = hash;
        }
        slot.position = hand;
        let hash_of = |slot: &Slot| self.clocks[slot.queue as usize].hashes[slot.position];
        self.slots.insert_unique(hash, slot, hash_of);
    }
    /// Removes `slot`, which has left the map, from its queue. The last hash fills the gap.
    fn unlink(&mut self, slot: &Slot) {
        let clock = &mut self.clocks[slot.queue as usize];
        clock.weight -= self.unit.weight(&slot.entry);
        let last = clock.hashes.len() - 1;
        if clock.hand >= last {
            clock.hand = 0;
        }
        if slot.position < last {
            self.relocate(slot.queue, last, slot.position);
        }
        self.clocks[slot.queue as usize].hashes.truncate(last);
    }
    fn relocate(&mut self, queue: Queue, from: usize, to: usize) {
        let hashes = &mut self.clocks[queue as usize].hashes;
        let hash = hashes[from];
        hashes[to] = hash;
        let is_it = |slot: &Slot| slot.queue == queue && slot.position == from;
        if let Some(slot) = self.slots.find_mut(hash, is_it) {
            slot.position = to;
        }
    }
}

#[cfg(test)]
impl Shard {
    pub(super) fn replica_bytes(&self) -> u64 {
        self.budget.taken()
    }
    /// Every slot is at its position, every position has a slot, and the weights are the sums.
    pub(super) fn assert_consistent(&self) {
        for queue in [Queue::Small, Queue::Main] {
            let slots: Vec<_> = self.slots.iter().filter(|slot| slot.queue == queue).collect();
            let clock = &self.clocks[queue as usize];
            assert_eq!(slots.len(), clock.hashes.len());
            assert!(clock.hand < slots.len().max(1));
            for (position, hash) in clock.hashes.iter().enumerate() {
                let is_it = |slot: &Slot| slot.queue == queue && slot.position == position;
                assert!(self.slots.find(*hash, is_it).is_some());
            }
            let weight = slots.iter().map(|slot| self.unit.weight(&slot.entry)).sum::<u64>();
            assert_eq!(clock.weight, weight);
        }
        let replica_bytes: u64 = self.slots.iter().map(|slot| slot.entry.replica_bytes()).sum();
        assert_eq!(self.budget.taken(), replica_bytes);
    }
}
