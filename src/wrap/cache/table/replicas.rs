//! [`ThreadReplicas`]: a string once more for each thread that reads it often, within a
//! [`ReplicaBudget`].
//!
//! To clone a value is to increment its reference count, and two threads that do so contend for one
//! cache line. So each thread clones a replica that no other thread clones. The thread that stored
//! the reply clones the original; each other thread makes its replica on its first hit after the
//! entry is known to be used often.
//!
//! Two threads that hit the same keys of a shared cache reach 1.92 to 2.03 times the throughput of
//! one thread; without replicas, in some runs 0.8 to 1.1 times (`docs/performance.md`).

use super::super::counters::thread_index;
use crate::Value;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many threads have a replica of their own. Threads whose indices are equal modulo this share
/// one.
const THREADS: usize = 8;
/// The longest value that has replicas. To use a longer one takes longer than the contention.
const MAX_LEN: usize = 1_024;
/// The bytes of a replica beside its value: the reference count, the length, and the allocator's.
const OVERHEAD: usize = 32;

/// How many bytes the replicas of a shard may take. Its readers share it.
#[derive(Debug)]
pub(super) struct ReplicaBudget {
    taken: AtomicU64,
    max: u64,
}

impl ReplicaBudget {
    pub(super) fn new(max: u64) -> Self {
        ReplicaBudget { taken: AtomicU64::new(0), max }
    }
    pub(super) fn max(&self) -> u64 {
        self.max
    }
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
    fn take(&self, bytes: u64) -> bool {
        let more = |taken| (taken + bytes <= self.max).then_some(taken + bytes);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
    pub(super) fn give_back(&self, bytes: u64) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
    /// The content of `cell`. If it is empty and the budget has room, `make` fills it.
    fn get_or_make<'c, T>(
        &self,
        cell: &'c OnceLock<T>,
        bytes: usize,
        make: impl FnOnce() -> T,
    ) -> Option<&'c T> {
        if cell.get().is_none() && self.take(bytes as u64) && cell.set(make()).is_err() {
            // Another thread with this index was faster.
            self.give_back(bytes as u64);
        }
        cell.get()
    }
}

type Cells = [OnceLock<Value>; THREADS];

/// The replicas of one value. A clone starts without any.
#[derive(Debug)]
pub(super) struct ThreadReplicas {
    /// The thread that clones the original.
    owner: u8,
    /// The bytes of one replica.
    bytes_each: u16,
    cells: OnceLock<Box<Cells>>,
}

impl Clone for ThreadReplicas {
    fn clone(&self) -> Self {
        ThreadReplicas { cells: OnceLock::new(), ..*self }
    }
}

impl ThreadReplicas {
    /// `None` if `value` is too long, or stored inline, where clones share no count.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let owner = (thread_index() % THREADS) as u8;
        let bytes_each = u16::try_from(OVERHEAD + value.len()).ok()?;
        let is_useful = value.is_counted() && value.len() <= MAX_LEN;
        is_useful.then(|| ThreadReplicas { owner, bytes_each, cells: OnceLock::new() })
    }
    /// A clone of this thread's replica, or of `value` itself if there is no room for one.
    #[inline]
    pub(super) fn clone_for_thread(&self, value: &Value, budget: &ReplicaBudget) -> Value {
        let thread = thread_index() % THREADS;
        if thread == usize::from(self.owner) {
            return value.clone();
        }
        let cells = budget.get_or_make(&self.cells, size_of::<Cells>(), Box::default);
        let replica = || Value::from(value.as_bytes());
        let replica = cells.and_then(|cells| {
            budget.get_or_make(&cells[thread], usize::from(self.bytes_each), replica)
        });
        replica.unwrap_or(value).clone()
    }
    /// How many bytes of the budget they take.
    pub(super) fn bytes(&self) -> u64 {
        let Some(cells) = self.cells.get() else { return 0 };
        let made = cells.iter().filter(|cell| cell.get().is_some()).count();
        (size_of::<Cells>() + made * usize::from(self.bytes_each)) as u64
    }
    /// Drops them. The next hit of each thread makes its replica again.
    pub(super) fn clear(&mut self) {
        self.cells.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses of the values that other threads get. It is not known which of these threads
    /// have this thread's index.
    fn addresses(replicas: &ThreadReplicas, value: &Value, budget: &ReplicaBudget) -> Vec<usize> {
        let address = || replicas.clone_for_thread(value, budget).as_ptr() as usize;
        let on_a_thread = || {
            let twice = std::thread::scope(|s| s.spawn(|| [address(), address()]).join());
            let [first, second] = twice.expect("no panic");
            assert_eq!(first, second, "the same one each time");
            first
        };
        (0..THREADS).map(|_| on_a_thread()).collect()
    }

    #[test]
    fn another_thread_is_handed_a_copy_of_its_own_and_the_same_one_each_time() {
        let value = Value::from(vec![7; MAX_LEN]);
        let replicas = ThreadReplicas::of(&value).expect("it is short enough");
        let budget = ReplicaBudget::new(u64::MAX);
        let ours = value.as_ptr() as usize;
        assert_eq!(replicas.clone_for_thread(&value, &budget).as_ptr() as usize, ours);
        assert_eq!(replicas.bytes(), 0);
        assert!(addresses(&replicas, &value, &budget).iter().any(|address| *address != ours));
        assert_eq!(replicas.clone_for_thread(&value, &budget), value);
        assert_eq!(budget.taken(), replicas.bytes());
    }

    #[test]
    fn copies_are_made_while_there_is_room_and_again_when_they_were_given_up() {
        let value = Value::from(vec![7; 100]);
        let mut replicas = ThreadReplicas::of(&value).expect("it is short enough");
        let ours = value.as_ptr() as usize;
        let two = (size_of::<Cells>() + 2 * (OVERHEAD + 100)) as u64;
        for (max, made) in [(0, 0), (two - 1, 1), (two, 2)] {
            let budget = ReplicaBudget::new(max);
            let theirs = addresses(&replicas, &value, &budget);
            let mut others: Vec<_> = theirs.into_iter().filter(|it| *it != ours).collect();
            others.sort_unstable();
            others.dedup();
            assert_eq!(others.len(), made, "a budget of {max}");
            assert!(budget.taken() <= max);
            assert_eq!(budget.taken(), replicas.bytes());
            replicas.clear();
            assert_eq!(replicas.bytes(), 0);
        }
    }

    #[test]
    fn of_two_threads_that_make_the_same_copy_one_gives_its_room_back() {
        let (budget, cell) = (ReplicaBudget::new(10), OnceLock::new());
        let make = || {
            assert_eq!(budget.get_or_make(&cell, 5, || "of the faster one"), cell.get());
            "of the slower one"
        };
        assert_eq!(budget.get_or_make(&cell, 5, make), Some(&"of the faster one"));
        assert_eq!(budget.taken(), 5);
    }

    #[test]
    fn what_is_long_or_not_counted_is_not_copied() {
        for (len, useful) in [(5, false), (100, true), (MAX_LEN, true), (MAX_LEN + 1, false)] {
            let replicas = ThreadReplicas::of(&Value::from(vec![7; len]));
            assert_eq!(replicas.is_some(), useful, "{len} bytes");
        }
    }
}
