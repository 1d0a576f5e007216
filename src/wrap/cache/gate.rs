//! [`Gate`]: decides which replies may be cached. The protocol that makes a stale entry impossible.
//!
//! Each key counts the writes that have *started* and those that have *ended*. A reply is cached
//! only if all started writes had ended when its read started, and none has started since:
//!
//! ```text
//!  read   ├─ start: if started == ended: epoch = started ─ backend ─ cache if started == epoch ─┤
//!  write  ├─ start: started += 1, invalidate the key ─ backend ─ end: ended += 1 ─┤
//! ```
//!
//! - A read that was in flight when a write started finds `started` changed. A read that started
//!   while a write was in flight found `started != ended`. A read that started after the write
//!   ended sees what it wrote. There is no fourth case.
//! - Both checks, and the change of the table that belongs to them, are made under the lock of the
//!   key's stripe.
//! - A write ends when its guard is dropped, so a write that fails, or whose future is dropped,
//!   ends, too.
//! - The gate knows a key only while a call for it is in flight, or settles. A hit does not use it.
//!
//! Its limits: an in-doubt write may be applied after it has "ended", and a replica may lag behind
//! a write. So for a settle time after a write, replies that may be outdated are not cached. If
//! that concerns very many keys, it is noted for a whole stripe instead of for each key
//! ([`MAX_STATES_PER_STRIPE`]).
//!
//! `tests/cache_loom.rs` compiles this file with loom's locks and tries all interleavings.

use super::sync::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

type Hasher = foldhash::fast::RandomState;
/// By the hash of the key. Keys with equal hashes share a state, which costs hits and nothing else.
type States<F> = HashMap<u64, State<F>, Hasher>;

/// How many keys of a stripe may have a state: as many as a map of 512 slots holds.
const MAX_STATES_PER_STRIPE: usize = 448;

/// The calls in flight, by key. `F` describes a read that others may join.
pub(super) struct Gate<F> {
    stripes: Box<[Stripe<F>]>,
    hasher: Hasher,
    settle_time: Duration,
}

// Each on a cache line of its own.
#[repr(align(64))]
struct Stripe<F>(Mutex<StripeState<F>>);

struct StripeState<F> {
    states: States<F>,
    /// For all keys of the stripe.
    settling: Settling,
    /// How many states trigger the next sweep.
    sweep_at: usize,
}

/// The calls in flight for one key.
pub(super) struct State<F> {
    started: u64,
    ended: u64,
    reads: u32,
    /// The reads that others may join.
    pub(super) in_flight: Vec<F>,
    settling: Settling,
}

impl<F> Default for State<F> {
    fn default() -> Self {
        let settling = Settling::default();
        State { started: 0, ended: 0, reads: 0, in_flight: Vec::new(), settling }
    }
}

/// Until when replies are not cached because of writes that ended.
#[derive(Clone, Copy, Default)]
struct Settling {
    /// For all replies: an in-doubt write may still be applied.
    in_doubt: Option<Instant>,
    /// For eventual replies: a replica may lag behind a write.
    lagging: Option<Instant>,
}

impl Settling {
    /// Calls `now` only if there is something to compare it with, which is rare.
    fn is_over(&self, now: impl Fn() -> Instant) -> bool {
        [self.in_doubt, self.lagging].into_iter().flatten().all(|until| until <= now())
    }
    fn forbids_caching(&self, eventual: bool) -> bool {
        let lagging = self.lagging.filter(|_| eventual);
        [self.in_doubt, lagging].into_iter().flatten().any(|until| until > Instant::now())
    }
    fn extend_to(&mut self, other: Settling) {
        self.in_doubt = self.in_doubt.max(other.in_doubt);
        self.lagging = self.lagging.max(other.lagging);
    }
}

impl<F> State<F> {
    fn is_in_use(&self) -> bool {
        self.started != self.ended || self.reads > 0 || !self.in_flight.is_empty()
    }
}

impl<F> StripeState<F> {
    fn new() -> Self {
        let states = HashMap::with_hasher(Hasher::default());
        let sweep_at = MAX_STATES_PER_STRIPE / 8;
        StripeState { states, settling: Settling::default(), sweep_at }
    }
    /// Removes the state of a key if it is no longer needed, and from time to time all such states.
    fn tidy(&mut self, key: u64) {
        let is_idle = |state: &State<F>| !state.is_in_use() && state.settling.is_over(Instant::now);
        if self.states.get(&key).is_some_and(is_idle) {
            self.states.remove(&key);
        }
        if self.states.len() >= self.sweep_at {
            self.sweep();
        }
    }
    #[cold]
    fn sweep(&mut self) {
        let now = Instant::now();
        self.states.retain(|_, state| state.is_in_use() || !state.settling.is_over(|| now));
        if self.states.len() > MAX_STATES_PER_STRIPE / 2 {
            let settling = &mut self.settling;
            self.states.retain(|_, state| {
                settling.extend_to(state.settling);
                state.is_in_use()
            });
        }
        // Doubling makes the cost of a sweep constant per state.
        self.sweep_at = (2 * self.states.len()).max(MAX_STATES_PER_STRIPE / 8);
        self.states.shrink_to(self.sweep_at);
    }
}

impl<F> Gate<F> {
    /// `stripes` is how many locks the keys share.
    pub(super) fn new(stripes: usize, settle_time: Duration) -> Self {
        let stripe = |_| Stripe(Mutex::new(StripeState::new()));
        Gate {
            stripes: (0..stripes.max(1)).map(stripe).collect(),
            hasher: Hasher::default(),
            settle_time,
        }
    }
    /// The hash by which the gate knows a key.
    pub(super) fn hash(&self, key: &(impl Hash + ?Sized)) -> u64 {
        self.hasher.hash_one(key)
    }
    fn lock(&self, key: u64) -> MutexGuard<'_, StripeState<F>> {
        self.stripes[(key >> 32) as usize % self.stripes.len()].lock()
    }
    /// When a write that ends now is settled.
    fn settled_at(&self) -> Option<Instant> {
        (!self.settle_time.is_zero()).then(|| Instant::now() + self.settle_time)
    }

    /// Starts a read, unless `lookup` returns `Some`. `lookup` is called under the lock of the key,
    /// with the epoch of the read.
    pub(super) fn start_read<T>(
        &self,
        key: u64,
        eventual: bool,
        lookup: impl FnOnce(&mut State<F>, Option<u64>) -> Option<T>,
    ) -> Result<PendingRead<'_, F>, T> {
        let mut locked = self.lock(key);
        let stripe_settles = locked.settling.forbids_caching(eventual);
        let state = locked.states.entry(key).or_default();
        let may_cache = !stripe_settles
            && state.started == state.ended
            && !state.settling.forbids_caching(eventual);
        let epoch = may_cache.then_some(state.started);
        if let Some(found) = lookup(state, epoch) {
            locked.tidy(key);
            return Err(found);
        }
        state.reads += 1;
        Ok(PendingRead { gate: self, key, epoch })
    }
    /// Starts a write. `invalidate` removes the replies of the key, under its lock.
    pub(super) fn start_write(&self, key: u64, invalidate: impl FnOnce()) -> PendingWrite<'_, F> {
        let mut locked = self.lock(key);
        locked.states.entry(key).or_default().started += 1;
        invalidate();
        PendingWrite { gate: self, key, certain: false }
    }
    /// A write to all keys by another process. `clear` removes all replies, under all locks.
    pub(super) fn write_all(&self, clear: impl FnOnce()) {
        let mut locked: Vec<_> = self.stripes.iter().map(Stripe::lock).collect();
        let settled = Settling { in_doubt: None, lagging: self.settled_at() };
        for locked in &mut locked {
            locked.settling.extend_to(settled);
            for state in locked.states.values_mut() {
                state.started += 1;
                state.ended += 1;
            }
        }
        clear();
    }
}

impl<F> Stripe<F> {
    fn lock(&self) -> MutexGuard<'_, StripeState<F>> {
        // Nothing panics under the lock; if it did, the counts would still be consistent.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A read in flight. If it is dropped without [`end`](Self::end), the read was cancelled.
pub(super) struct PendingRead<'g, F> {
    gate: &'g Gate<F>,
    key: u64,
    epoch: Option<u64>,
}

impl<F> PendingRead<'_, F> {
    /// How many writes had started when the read started. `None` if its reply may not be cached.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.epoch
    }
    /// Ends the read. `store` is called under the lock of the key, with whether the reply may be
    /// cached.
    pub(super) fn end<T>(self, store: impl FnOnce(&mut State<F>, bool) -> T) -> T {
        let mut locked = self.gate.lock(self.key);
        let state = locked.states.entry(self.key).or_default();
        let may_cache = self.epoch == Some(state.started);
        let stored = store(state, may_cache);
        drop(locked); // the drop of `self` takes the lock again
        stored
    }
}

impl<F> Drop for PendingRead<'_, F> {
    fn drop(&mut self) {
        let mut locked = self.gate.lock(self.key);
        if let Some(state) = locked.states.get_mut(&self.key) {
            state.reads -= 1;
        }
        locked.tidy(self.key);
    }
}

/// A write in flight. It ends when this is dropped.
pub(super) struct PendingWrite<'g, F> {
    gate: &'g Gate<F>,
    key: u64,
    certain: bool,
}

impl<F> PendingWrite<'_, F> {
    /// Marks the outcome as known. Without that the write is in doubt: it may be applied later.
    pub(super) fn mark_certain(&mut self) {
        self.certain = true;
    }
}

impl<F> Drop for PendingWrite<'_, F> {
    fn drop(&mut self) {
        let lagging = self.gate.settled_at();
        let mut locked = self.gate.lock(self.key);
        let state = locked.states.entry(self.key).or_default();
        state.ended += 1;
        let in_doubt = lagging.filter(|_| !self.certain);
        state.settling.extend_to(Settling { in_doubt, lagging });
        locked.tidy(self.key);
    }
}
