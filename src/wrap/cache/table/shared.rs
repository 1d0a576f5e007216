//! [`SharedTable`]: the table for all callers. Shards of S3-FIFO, each behind a reader-striped
//! lock.
//!
//! A hit of a string that is read often writes no cache line that another thread writes:
//!
//! - The lock of a shard is a `ShardedLock`. A reader locks a stripe of its own, a writer locks all
//!   eight. So hits are cheap and changes are not, which is right: a change comes with a call to
//!   the backend.
//! - A read is answered under that lock, so no reference count of the entry is needed.
//! - A hit writes the use count of the entry only until that reaches its maximum (`s3_fifo.rs`).
//! - From then on, a thread clones a replica of the string that only this thread clones
//!   (`replicas.rs`), while the shard has room for replicas: a sixteenth of a bound in bytes.
//!   Longer strings and the values of collections have no replicas.

use super::entry::{Entry, Unit};
use super::s3_fifo::Shard;
use super::{Table, Usage};
use crate::Key;
use crate::backend::Consistency;
use crate::op::{Read, Reply};
use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use std::hash::BuildHasher;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Many shards, so that a change blocks few readers.
const MAX_SHARDS: u64 = 64;
/// The smallest bound of a shard, unless there is only one. A smaller one would leave some shards
/// full and others empty by chance, or leave no room for a long value in any of them.
const MIN_SHARD_REPLIES: u64 = 256;
const MIN_SHARD_BYTES: u64 = 1 << 20;

type Hasher = foldhash::fast::RandomState;

pub(in crate::wrap::cache) struct SharedTable {
    shards: Box<[ShardedLock<Shard>]>,
    hasher: Hasher,
    evictions: AtomicU64,
}

impl SharedTable {
    pub(super) fn new(unit: Unit, bound: u64) -> Self {
        let min_shard = match unit {
            Unit::Replies => MIN_SHARD_REPLIES,
            Unit::Bytes => MIN_SHARD_BYTES,
        };
        let shards = 1 << (bound / min_shard).clamp(1, MAX_SHARDS).ilog2();
        let bound = bound / shards;
        let (entries, replicas) = match unit {
            Unit::Replies => (bound, u64::MAX),
            Unit::Bytes => (bound - bound / 16, bound / 16),
        };
        let shard = |_| ShardedLock::new(Shard::new(unit, entries, replicas));
        SharedTable {
            shards: (0..shards).map(shard).collect(),
            hasher: Hasher::default(),
            evictions: AtomicU64::new(0),
        }
    }
    #[inline]
    fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key)
    }
    /// The shard by bits of the hash that the map of the shard does not use: that uses the low ones
    /// and the seven highest.
    #[inline]
    fn shard(&self, hash: u64) -> &ShardedLock<Shard> {
        &self.shards[(hash >> 40) as usize & (self.shards.len() - 1)]
    }
    #[inline]
    fn read(&self, hash: u64) -> ShardedLockReadGuard<'_, Shard> {
        // Nothing panics under the lock.
        self.shard(hash).read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self, hash: u64) -> ShardedLockWriteGuard<'_, Shard> {
        self.shard(hash).write().unwrap_or_else(PoisonError::into_inner)
    }
    fn put(&self, hash: u64, key: &Key, entry: Entry, newest: Consistency) {
        let evicted = self.write(hash).put(hash, key, entry, newest);
        if evicted > 0 {
            self.evictions.fetch_add(evicted as u64, Ordering::Relaxed);
        }
    }
    pub(super) fn contains(&self, key: &Key) -> bool {
        let hash = self.hash(key);
        self.read(hash).peek(hash, key).is_some_and(Entry::is_alive)
    }
    pub(super) fn usage(&self) -> Usage {
        let shards = self.shards.iter().map(|it| it.read().unwrap_or_else(PoisonError::into_inner));
        let size = shards.map(|shard| shard.size()).sum();
        Usage { evictions: self.evictions.load(Ordering::Relaxed), size }
    }
}

impl Table for SharedTable {
    #[inline]
    fn get(&self, consistency: Consistency, read: &Read) -> Option<Reply> {
        let hash = self.hash(read.key());
        let shard = self.read(hash);
        let (entry, budget) = shard.get(hash, read.key())?;
        entry.answer(consistency, read, budget)
    }
    fn insert(
        &self,
        consistency: Consistency,
        read: &Read,
        reply: &Reply,
        expires: Option<Instant>,
    ) {
        let hash = self.hash(read.key());
        let old = self.read(hash).peek(hash, read.key()).cloned();
        let entry = Entry::with_reply(old, consistency, read, reply, expires);
        self.put(hash, read.key(), entry, consistency);
    }
    fn invalidate(&self, key: &Key, eventual_until: Option<Instant>) {
        let hash = self.hash(key);
        // Most writes are to keys that have no entry, and do not need the write lock.
        let left = match self.read(hash).peek(hash, key) {
            None => return,
            Some(entry) => eventual_until.and_then(|until| entry.invalidated(until)),
        };
        match left {
            Some(entry) => self.put(hash, key, entry, Consistency::Eventual),
            None => {
                let _dropped_after_the_lock = self.write(hash).remove(hash, key);
            }
        }
    }
    fn clear(&self) {
        for shard in &self.shards {
            shard.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::s3_fifo::MAX_USES;
    use super::*;
    use crate::Value;
    use crate::op::Get;

    fn put(table: &SharedTable, key: &Key) {
        table.insert(Consistency::Strong, &Get::new(key).into(), &Reply::Value(None), None);
    }
    fn key(i: u64) -> Key {
        i.to_string().into()
    }
    /// Puts 100 bytes, which are long enough for replicas.
    fn put_long(table: &SharedTable, key: &Key) {
        let reply = Reply::Value(Some(Value::from(&[7; 100])));
        table.insert(Consistency::Strong, &Get::new(key).into(), &reply, None);
    }
    fn get(table: &SharedTable, key: &Key) -> Option<Value> {
        match table.get(Consistency::Strong, &Get::new(key).into())? {
            Reply::Value(value) => value,
            other => panic!("{other:?}"),
        }
    }
    /// Runs `f` on two threads, of which at least one has another index than this one.
    fn on_other_threads(f: impl Fn() + Sync) {
        for _ in 0..2 {
            std::thread::scope(|s| s.spawn(&f).join().expect("no panic"));
        }
    }
    fn is_stored(table: &SharedTable, i: u64) -> bool {
        table.get(Consistency::Strong, &Get::new(key(i)).into()).is_some()
    }
    fn replica_bytes(table: &SharedTable, key: &Key) -> Option<u64> {
        let hash = table.hash(key);
        table.read(hash).peek(hash, key).map(Entry::replica_bytes)
    }
    fn size(table: &SharedTable) -> u64 {
        table.usage().size
    }

    #[test]
    fn the_clocks_and_the_map_agree_whatever_happens() {
        for (unit, bound) in [(Unit::Replies, 100), (Unit::Bytes, 20_000)] {
            let table = SharedTable::new(unit, bound);
            let mut random = fastrand::Rng::with_seed(7);
            for step in 0..20_000 {
                let i = random.u64(..300);
                match random.u8(..10) {
                    0 => table.invalidate(&key(i), None),
                    1..=4 => put(&table, &key(i)),
                    _ => drop(is_stored(&table, i)),
                }
                assert!(size(&table) <= bound);
                if step % 64 == 0 {
                    table.shards.iter().for_each(|it| it.read().unwrap().assert_consistent());
                }
            }
            assert!(table.usage().evictions > 0 && size(&table) > bound / 2);
        }
    }

    #[test]
    fn what_is_read_again_outlasts_a_scan() {
        let table = SharedTable::new(Unit::Replies, 100);
        let stored = || (0..50).filter(|i| is_stored(&table, *i)).count();
        (0..50).for_each(|i| put(&table, &key(i)));
        assert_eq!(stored(), 50);
        (1_000..3_000).for_each(|i| put(&table, &key(i)));
        assert_eq!(stored(), 50);
    }

    #[test]
    fn what_is_heavier_than_the_bound_is_not_kept_and_nothing_gives_way_to_it() {
        let table = SharedTable::new(Unit::Bytes, 1_000);
        put(&table, &key(1));
        let long = Key::from(vec![b'k'; 1_000]);
        put(&table, &long);
        assert!(is_stored(&table, 1) && !table.contains(&long));
        assert_eq!(table.usage().evictions, 1);
    }

    #[test]
    fn copies_and_entries_keep_the_bound_while_threads_read_and_remove() {
        let bound = 50_000;
        let table = SharedTable::new(Unit::Bytes, bound);
        let most = AtomicU64::new(0);
        let work = &|seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..200 {
                // Some keys are read often.
                let key = key(random.u64(..20) * random.u64(..40));
                match random.u8(..100) {
                    0 => table.invalidate(&key, None),
                    1..10 => put_long(&table, &key),
                    _ => drop(get(&table, &key)),
                }
                assert!(size(&table) <= bound);
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
                shard.assert_consistent();
                most.fetch_max(shard.replica_bytes(), Ordering::Relaxed);
            }
        }
        assert!(table.usage().evictions > 100);
        let most = most.into_inner();
        assert!(bound / 20 < most && most <= bound / 16, "{most}");
    }

    #[test]
    fn what_is_asked_for_a_few_times_is_not_copied() {
        let (table, key) = (SharedTable::new(Unit::Replies, 100), key(1));
        put_long(&table, &key);
        on_other_threads(|| drop(get(&table, &key)));
        assert!(get(&table, &key).is_some());
        assert_eq!(replica_bytes(&table, &key), Some(0));
        on_other_threads(|| drop(get(&table, &key)));
        assert!(replica_bytes(&table, &key) > Some(0));
        // The entry that replaces it starts without replicas, so it holds no budget.
        let read = crate::op::HGet::new(&key, Value::from("f")).into();
        table.insert(Consistency::Strong, &read, &Reply::Value(None), None);
        assert_eq!(replica_bytes(&table, &key), Some(0));
        assert!(get(&table, &key).is_some());
    }

    #[test]
    fn what_the_hand_goes_by_gives_up_its_copies_and_stays() {
        let (table, hot) = (SharedTable::new(Unit::Bytes, 40_000), key(0));
        put_long(&table, &hot);
        assert!(get(&table, &hot).is_some());
        (1_000..2_000).map(key).for_each(|key| put_long(&table, &key));
        (0..MAX_USES).for_each(|_| drop(get(&table, &hot)));
        on_other_threads(|| drop(get(&table, &hot)));
        assert!(replica_bytes(&table, &hot) > Some(0));
        // All of them are read again, so they move to the main queue.
        for key in (1..1_000).map(key) {
            put_long(&table, &key);
            assert!(get(&table, &key).is_some() && get(&table, &hot).is_some());
        }
        assert_eq!(replica_bytes(&table, &hot), Some(0));
        on_other_threads(|| drop(get(&table, &hot)));
        assert!(replica_bytes(&table, &hot) > Some(0));
    }
}
