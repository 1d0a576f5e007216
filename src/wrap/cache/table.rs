//! Where entries are kept: one table that all callers share, or a small one per request.
//!
//! The shared one is in `shared.rs`. The one of a request is two maps behind a lock that nobody
//! outside of the request knows: what is used moves to the young one, and when that is half of the
//! bound, the old one is dropped.

use super::copies::Room;
use super::entry::{Entry, Unit};
use super::shared::Shared;
use crate::Key;
use crate::backend::Consistency;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Hasher = foldhash::fast::RandomState;

pub(super) enum Table {
    Shared(Shared),
    Request(Request),
}

#[derive(Default)]
struct Maps {
    young: Half,
    old: Half,
    evicted: u64,
}

#[derive(Default)]
struct Half {
    entries: HashMap<Key, Arc<Entry>, Hasher>,
    weight: u64,
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

impl Half {
    fn insert(&mut self, key: Key, entry: Arc<Entry>, unit: Unit) {
        self.weight += unit.of(&entry);
        self.entries.insert(key, entry);
    }
    fn remove(&mut self, key: &Key, unit: Unit) -> Option<(Key, Arc<Entry>)> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.weight -= unit.of(&entry);
        Some((key, entry))
    }
    fn replies(&self) -> u64 {
        self.entries.values().map(|entry| entry.replies() as u64).sum()
    }
}

impl Maps {
    fn get(&mut self, key: &Key, unit: Unit, bound: u64) -> Option<&Arc<Entry>> {
        if !self.old.entries.is_empty()
            && let Some((key, entry)) = self.old.remove(key, unit)
        {
            self.insert(key, entry, unit, bound);
        }
        self.young.entries.get(key)
    }
    /// The young one is the old one when it would get above half of the bound, and the old one goes
    /// then; it also goes if there is no room for both.
    fn insert(&mut self, key: Key, entry: Arc<Entry>, unit: Unit, bound: u64) {
        let weight = unit.of(&entry);
        if weight > bound {
            self.evicted += entry.replies() as u64;
            return;
        }
        if self.young.weight + weight > bound.div_ceil(2) {
            let given_up = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.evicted += given_up.replies();
        }
        if self.old.weight + self.young.weight + weight > bound {
            self.evicted += std::mem::take(&mut self.old).replies();
        }
        self.young.insert(key, entry, unit);
    }
    fn remove(&mut self, key: &Key, unit: Unit) {
        self.young.remove(key, unit);
        self.old.remove(key, unit);
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
    /// Keeps `entry`, of which the newest reply is one of `how`, but for replies for which there is
    /// no room.
    pub(super) fn put(&self, key: &Key, mut entry: Entry, how: Consistency) {
        match self {
            Table::Shared(shared) => shared.put(key, entry, how),
            Table::Request(request) => {
                let gave_way = entry.fit(how, request.unit, request.bound);
                let mut maps = request.lock();
                maps.evicted += gave_way as u64;
                maps.remove(key, request.unit);
                maps.insert(key.clone(), entry.into(), request.unit, request.bound);
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
                maps.young.weight + maps.old.weight
            }
        }
    }
}
