//! [`HitCounters`]: striped hit and miss counters. Each thread has a stripe, which avoids cache
//! line contention.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
pub(super) struct HitCounters(Box<[Stripe]>);

/// The index of this thread among all that have called this, from 0.
pub(super) fn thread_index() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static INDEX: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    INDEX.with(|index| {
        if index.get() == usize::MAX {
            index.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        index.get()
    })
}

impl HitCounters {
    /// `stripes` is a power of two.
    pub(super) fn new(stripes: usize) -> Self {
        HitCounters((0..stripes).map(|_| Stripe::default()).collect())
    }
    fn stripe(&self) -> &Stripe {
        &self.0[thread_index() & (self.0.len() - 1)]
    }
    pub(super) fn hit(&self) {
        self.stripe().hits.fetch_add(1, Ordering::Relaxed);
    }
    pub(super) fn miss(&self) {
        self.stripe().misses.fetch_add(1, Ordering::Relaxed);
    }
    /// Hits and misses.
    pub(super) fn sums(&self) -> (u64, u64) {
        let sum = |counter: fn(&Stripe) -> &AtomicU64| {
            self.0.iter().map(|stripe| counter(stripe).load(Ordering::Relaxed)).sum()
        };
        (sum(|stripe| &stripe.hits), sum(|stripe| &stripe.misses))
    }
}
