//! Where entries are kept: one table that all callers share, or a small one per request.
//!
//! The shared one is in `shared.rs`. The one of a request is two maps behind a lock that nobody outside of the
//! request knows: what is used moves to the young one, and when that is half of the bound, the old one is dropped.

use super::copies::Room;
use super::entry::{Entry, Unit};
use super::shared::Shared;
use crate::Key;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Hasher = foldhash::fast::RandomState;

pub(super) enum Table {
    Shared(Shared),
    Request(Request),
}

#[derive(Default)]
struct Maps {
    young: HashMap<Key, Arc<Entry>, Hasher>,
    old: HashMap<Key, Arc<Entry>, Hasher>,
    weight: u64,
    evicted: u64,
}

pub(super) struct Request {
    maps: Mutex<Maps>,
    unit: Unit,
    bound: u64,
}

impl Request {
    fn lock(&self) -> MutexGuard<'_, Maps> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maps {
    fn get(&mut self, key: &Key, unit: Unit, bound: u64) -> Option<&Arc<Entry>> {
        if !self.old.is_empty()
            && let Some((key, entry)) = self.old.remove_entry(key)
        {
            self.insert(key, entry, unit, bound);
        }
        self.young.get(key)
    }
    /// Each of the two holds at most half of the bound.
    fn insert(&mut self, key: Key, entry: Arc<Entry>, unit: Unit, bound: u64) {
        let (weight, half) = (unit.of(&entry), bound.div_ceil(2));
        if weight > half {
            self.evicted += entry.replies() as u64;
            return;
        }
        if self.weight + weight > half {
            let given_up = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.evicted += given_up.values().map(|entry| entry.replies() as u64).sum::<u64>();
            self.weight = 0;
        }
        self.weight += weight;
        self.young.insert(key, entry);
    }
    fn remove(&mut self, key: &Key, unit: Unit) {
        if let Some(entry) = self.young.remove(key) {
            self.weight -= unit.of(&entry);
        }
        self.old.remove(key);
    }
}

impl Table {
    pub(super) fn shared(unit: Unit, bound: u64) -> Self {
        Table::Shared(Shared::new(unit, bound))
    }
    pub(super) fn request(unit: Unit, bound: u64) -> Self {
        Table::Request(Request { maps: Mutex::default(), unit, bound })
    }

    /// Hands the entry of `key` to `f`, and the room for copies where several threads ask.
    #[inline]
    pub(super) fn with<T>(
        &self,
        key: &Key,
        f: impl FnOnce(&Entry, Option<Room<'_>>) -> Option<T>,
    ) -> Option<T> {
        match self {
            Table::Shared(shared) => shared.with(key, |entry, room| f(entry, Some(room))),
            Table::Request(request) => {
                let mut maps = request.lock();
                maps.get(key, request.unit, request.bound).and_then(|entry| f(entry, None))
            }
        }
    }
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        match self {
            Table::Shared(shared) => shared.get(key),
            Table::Request(request) => {
                request.lock().get(key, request.unit, request.bound).cloned()
            }
        }
    }
    pub(super) fn put(&self, key: &Key, entry: Entry) {
        let entry = Arc::new(entry);
        match self {
            Table::Shared(shared) => shared.put(key, entry),
            Table::Request(request) => {
                let mut maps = request.lock();
                maps.remove(key, request.unit);
                maps.insert(key.clone(), entry, request.unit, request.bound);
            }
        }
    }
    pub(super) fn remove(&self, key: &Key) {
        match self {
            Table::Shared(shared) => shared.remove(key),
            Table::Request(request) => request.lock().remove(key, request.unit),
        }
    }
    pub(super) fn clear(&self) {
        match self {
            Table::Shared(shared) => shared.clear(),
            Table::Request(request) => {
                let mut maps = request.lock();
                *maps = Maps { evicted: maps.evicted, ..Maps::default() };
            }
        }
    }
    /// How many replies have given way to others.
    pub(super) fn evicted(&self) -> u64 {
        match self {
            Table::Shared(shared) => shared.evicted(),
            Table::Request(request) => request.lock().evicted,
        }
    }
    /// How much of the bound is taken.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Table::Shared(shared) => shared.weight(),
            Table::Request(request) => {
                let maps = request.lock();
                maps.young.values().chain(maps.old.values()).map(|e| request.unit.of(e)).sum()
            }
        }
    }
}
