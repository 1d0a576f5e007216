//! [`RequestTable`]: the table of one request. Two generations, behind a lock that only this
//! request takes.
//!
//! An entry that is used moves to the young generation. When the young one reaches half of the
//! bound it becomes the old one, and the previous old one is evicted.

use super::entry::{Entry, Unit};
use super::{Table, Usage};
use crate::Key;
use crate::backend::Consistency;
use crate::op::{Read, Reply};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

type Hasher = foldhash::fast::RandomState;

pub(in crate::wrap::cache) struct RequestTable(Mutex<TwoGenerations>);

struct TwoGenerations {
    young: Generation,
    old: Generation,
    evictions: u64,
    unit: Unit,
    bound: u64,
}

#[derive(Default)]
struct Generation {
    entries: HashMap<Key, Entry, Hasher>,
    weight: u64,
}

impl RequestTable {
    pub(super) fn new(unit: Unit, bound: u64) -> Self {
        let generations = TwoGenerations {
            young: Generation::default(),
            old: Generation::default(),
            evictions: 0,
            unit,
            bound,
        };
        RequestTable(Mutex::new(generations))
    }
    fn lock(&self) -> MutexGuard<'_, TwoGenerations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.lock().get(key).is_some_and(Entry::is_alive)
    }
    pub(super) fn usage(&self) -> Usage {
        let generations = self.lock();
        let size = generations.young.weight + generations.old.weight;
        Usage { evictions: generations.evictions, size }
    }
}

impl Table for RequestTable {
    fn get(&self, consistency: Consistency, read: &Read) -> Option<Reply> {
        self.lock().get(read.key())?.answer(consistency, read, None)
    }
    fn insert(
        &self,
        consistency: Consistency,
        read: &Read,
        reply: &Reply,
        expires: Option<Instant>,
    ) {
        let mut generations = self.lock();
        let old = generations.remove(read.key());
        let entry = Entry::with_reply(old, consistency, read, reply, expires);
        generations.replace(read.key(), entry, consistency);
    }
    fn invalidate(&self, key: &Key, eventual_until: Option<Instant>) {
        let mut generations = self.lock();
        let old = generations.remove(key);
        if let (Some(old), Some(until)) = (old, eventual_until)
            && let Some(entry) = old.invalidated(until)
        {
            generations.replace(key, entry, Consistency::Eventual);
        }
    }
    fn clear(&self) {
        let mut generations = self.lock();
        generations.young = Generation::default();
        generations.old = Generation::default();
    }
}

impl TwoGenerations {
    fn get(&mut self, key: &Key) -> Option<&Entry> {
        if !self.old.entries.is_empty()
            && let Some((key, entry)) = self.old.remove(key, self.unit)
        {
            self.insert(key, entry);
        }
        self.young.entries.get(key)
    }
    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let young = self.young.remove(key, self.unit);
        let (_, entry) = young.or_else(|| self.old.remove(key, self.unit))?;
        Some(entry)
    }
    /// Inserts an entry whose newest reply is one of `newest`, without the replies that do not fit.
    fn replace(&mut self, key: &Key, mut entry: Entry, newest: Consistency) {
        self.evictions += entry.evict_to_fit(newest, self.unit, self.bound) as u64;
        self.insert(key.clone(), entry);
    }
    /// Makes the young generation the old one if it would exceed half of the bound. Evicts the old
    /// one if there is no room for both.
    fn insert(&mut self, key: Key, entry: Entry) {
        let weight = self.unit.weight(&entry);
        if weight > self.bound {
            self.evictions += entry.replies() as u64;
            return;
        }
        if self.young.weight + weight > self.bound.div_ceil(2) {
            let evicted = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.evictions += evicted.replies();
        }
        if self.old.weight + self.young.weight + weight > self.bound {
            self.evictions += std::mem::take(&mut self.old).replies();
        }
        self.young.insert(key, entry, self.unit);
    }
}

impl Generation {
    fn insert(&mut self, key: Key, entry: Entry, unit: Unit) {
        self.weight += unit.weight(&entry);
        self.entries.insert(key, entry);
    }
    fn remove(&mut self, key: &Key, unit: Unit) -> Option<(Key, Entry)> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.weight -= unit.weight(&entry);
        Some((key, entry))
    }
    fn replies(&self) -> u64 {
        self.entries.values().map(|entry| entry.replies() as u64).sum()
    }
}
