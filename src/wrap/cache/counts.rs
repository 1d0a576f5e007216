//! Striped hit and miss counters: each thread has a stripe, which avoids cache line contention.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

#[derive(Debug, Default)]
#[repr(align(64))]
struct Place {
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Counts(Box<[Place]>);

/// A number of this thread, counted from 0.
pub(super) fn thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        mine.get()
    })
}

impl Counts {
    /// `places` is a power of two.
    pub(super) fn new(places: usize) -> Self {
        Counts((0..places).map(|_| Place::default()).collect())
    }
    fn place(&self) -> &Place {
        &self.0[thread() & (self.0.len() - 1)]
    }
    pub(super) fn hit(&self) {
        self.place().hits.fetch_add(1, Ordering::Relaxed);
    }
    pub(super) fn miss(&self) {
        self.place().misses.fetch_add(1, Ordering::Relaxed);
    }
    /// Hits and misses until now.
    pub(super) fn sums(&self) -> (u64, u64) {
        let sum = |count: fn(&Place) -> &AtomicU64| {
            self.0.iter().map(|place| count(place).load(Ordering::Relaxed)).sum()
        };
        (sum(|place| &place.hits), sum(|place| &place.misses))
    }
}
