//! Which reads may be kept: the protocol that makes a stale entry impossible.
//!
//! Every key counts the writes that have *begun* and those that have *ended*. A reply is kept only
//! if, when its read started, all writes that had begun had ended, and if none has begun since:
//!
//! ```text
//!  read    ├── start: begun == ended? note begun ──── inner read ──── keep, if begun is still what was noted ──┤
//!  write   ├── begin: begun += 1, forget what is kept ──── inner write ──── end: ended += 1 ──┤
//! ```
//!
//! - A read that was in flight when a write began finds `begun` moved. A read that started while a
//!   write was in flight had seen `begun != ended`. A read that started after the end sees what was
//!   written. There is no fourth.
//! - Both checks, and the change of the table that goes with them, are made under the lock of the
//!   key's stripe.
//! - `end` is the drop of a guard, so that a write that fails, or whose future is dropped, ends,
//!   too.
//! - A key is known here only while something of it is under way: the price of a hit is nothing.
//!
//! Where it stops: a write whose outcome is unknown may be applied after it has "ended", and a
//! replica may lag behind a write. Both are a matter of time, and so is the answer: for a while
//! (`settle`) nothing of that key is kept. Where that would be noted of very many keys at once, it
//! is noted of all keys together ([`MOST`]).
//!
//! The file is also compiled by `tests/model.rs`, on loom's locks, and every interleaving is tried.

use super::sync::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

type Hasher = foldhash::fast::RandomState;
type States<F> = HashMap<u64, State<F>, Hasher>;

/// Of how many keys per stripe it is noted that a write to them may still be applied, or is not
/// seen by all replicas: as many as a map of 512 places takes.
const MOST: usize = 448;

/// What is under way, by key. `F` is what belongs to a read that others may join.
pub(super) struct Gate<F> {
    stripes: Box<[Stripe<F>]>,
    hasher: Hasher,
    settle: Duration,
}

// On a line of its own, so that neighbours do not slow each other down.
#[repr(align(64))]
struct Stripe<F>(Mutex<Locked<F>>);

/// What is under way with the keys of one stripe.
struct Locked<F> {
    states: States<F>,
    /// Of all of these keys.
    settling: Settling,
    /// At how many states those are looked for of which nothing is under way any more.
    sweep_at: usize,
}

/// What is under way with one key.
pub(super) struct State<F> {
    begun: u64,
    ended: u64,
    reads: u32,
    /// The reads that others may join.
    pub(super) flights: Vec<F>,
    settling: Settling,
}

impl<F> Default for State<F> {
    fn default() -> Self {
        let settling = Settling::default();
        State { begun: 0, ended: 0, reads: 0, flights: Vec::new(), settling }
    }
}

/// For how long after writes something is not kept.
#[derive(Clone, Copy, Default)]
struct Settling {
    /// Until when no reply is, as a write may still be applied.
    uncertain: Option<Instant>,
    /// Until when no reply of a replica is, as it may lag behind a write.
    lagging: Option<Instant>,
}

impl Settling {
    /// Whether all of it is over. Most of the time there is nothing, and nobody looks at the clock.
    fn is_over(&self, now: impl Fn() -> Instant) -> bool {
        [self.uncertain, self.lagging].into_iter().flatten().all(|until| until <= now())
    }
    fn hinders(&self, eventual: bool) -> bool {
        let lagging = self.lagging.filter(|_| eventual);
        [self.uncertain, lagging].into_iter().flatten().any(|until| until > Instant::now())
    }
    /// Whatever lasts longer.
    fn join(&mut self, other: Settling) {
        self.uncertain = self.uncertain.max(other.uncertain);
        self.lagging = self.lagging.max(other.lagging);
    }
}

impl<F> State<F> {
    fn is_under_way(&self) -> bool {
        self.begun != self.ended || self.reads > 0 || !self.flights.is_empty()
    }
}

impl<F> Locked<F> {
    fn new() -> Self {
        let states = HashMap::with_hasher(Hasher::default());
        Locked { states, settling: Settling::default(), sweep_at: MOST / 8 }
    }
    /// Forgets a key of which there is nothing left to know, and now and then all others of the
    /// stripe.
    fn tidy(&mut self, number: u64) {
        let is_idle =
            |state: &State<F>| !state.is_under_way() && state.settling.is_over(Instant::now);
        if self.states.get(&number).is_some_and(is_idle) {
            self.states.remove(&number);
        }
        if self.states.len() >= self.sweep_at {
            self.sweep();
        }
    }
    #[cold]
    fn sweep(&mut self) {
        let now = Instant::now();
        self.states.retain(|_, state| state.is_under_way() || !state.settling.is_over(|| now));
        if self.states.len() > MOST / 2 {
            let settling = &mut self.settling;
            self.states.retain(|_, state| {
                settling.join(state.settling);
                state.is_under_way()
            });
        }
        // So that each of them is looked at once, on average.
        self.sweep_at = (2 * self.states.len()).max(MOST / 8);
        self.states.shrink_to(self.sweep_at);
    }
}

impl<F> Gate<F> {
    /// `stripes` is how many locks the keys share.
    pub(super) fn new(stripes: usize, settle: Duration) -> Self {
        let stripe = |_| Stripe(Mutex::new(Locked::new()));
        Gate {
            stripes: (0..stripes.max(1)).map(stripe).collect(),
            hasher: Hasher::default(),
            settle,
        }
    }
    /// The number that stands for a key. Two keys of one number only keep each other from being
    /// kept.
    pub(super) fn number(&self, key: &(impl Hash + ?Sized)) -> u64 {
        self.hasher.hash_one(key)
    }
    fn lock(&self, number: u64) -> MutexGuard<'_, Locked<F>> {
        self.stripes[(number >> 32) as usize % self.stripes.len()].lock()
    }
    /// When a write that ends now is settled.
    fn settled(&self) -> Option<Instant> {
        (!self.settle.is_zero()).then(|| Instant::now() + self.settle)
    }

    /// A read starts, unless `look`, which is called under the lock of the key, knows better.
    pub(super) fn read<T>(
        &self,
        number: u64,
        eventual: bool,
        look: impl FnOnce(&mut State<F>, Option<u64>) -> Option<T>,
    ) -> Result<Reading<'_, F>, T> {
        let mut locked = self.lock(number);
        let hindered = locked.settling.hinders(eventual);
        let state = locked.states.entry(number).or_default();
        let may = !hindered && state.begun == state.ended && !state.settling.hinders(eventual);
        let noted = may.then_some(state.begun);
        let known = look(state, noted);
        if let Some(known) = known {
            locked.tidy(number);
            return Err(known);
        }
        state.reads += 1;
        Ok(Reading { gate: self, number, noted })
    }

    /// A write begins: `forget` removes what is kept of the key, under its lock.
    pub(super) fn write(&self, number: u64, forget: impl FnOnce()) -> Writing<'_, F> {
        let mut locked = self.lock(number);
        locked.states.entry(number).or_default().begun += 1;
        forget();
        Writing { gate: self, number, certain: false }
    }

    /// All keys are written by somebody else: `forget` removes what is kept of them, under all
    /// locks.
    pub(super) fn write_all(&self, forget: impl FnOnce()) {
        let mut locked: Vec<_> = self.stripes.iter().map(Stripe::lock).collect();
        let settled = Settling { uncertain: None, lagging: self.settled() };
        for locked in &mut locked {
            locked.settling.join(settled);
            for state in locked.states.values_mut() {
                state.begun += 1;
                state.ended += 1;
            }
        }
        forget();
    }
}

impl<F> Stripe<F> {
    fn lock(&self) -> MutexGuard<'_, Locked<F>> {
        // Nothing panics under it; if it did, the counts would still be whole.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A read under way. Dropped without [`end`](Self::end), it was given up.
pub(super) struct Reading<'g, F> {
    gate: &'g Gate<F>,
    number: u64,
    noted: Option<u64>,
}

impl<F> Reading<'_, F> {
    /// How many writes had begun, if all of them had ended.
    pub(super) fn noted(&self) -> Option<u64> {
        self.noted
    }
    /// The read has ended: `keep` is told, under the lock of the key, whether the reply may be
    /// kept.
    pub(super) fn end<T>(self, keep: impl FnOnce(&mut State<F>, bool) -> T) -> T {
        let mut locked = self.gate.lock(self.number);
        let state = locked.states.entry(self.number).or_default();
        let unchanged = self.noted == Some(state.begun);
        let kept = keep(state, unchanged);
        drop(locked); // as the drop of `self` takes it again
        kept
    }
}

impl<F> Drop for Reading<'_, F> {
    fn drop(&mut self) {
        let mut locked = self.gate.lock(self.number);
        if let Some(state) = locked.states.get_mut(&self.number) {
            state.reads -= 1;
        }
        locked.tidy(self.number);
    }
}

/// A write under way. It ends when this is dropped.
pub(super) struct Writing<'g, F> {
    gate: &'g Gate<F>,
    number: u64,
    certain: bool,
}

impl<F> Writing<'_, F> {
    /// It is known whether it was applied. Otherwise it may be applied later.
    pub(super) fn mark_certain(&mut self) {
        self.certain = true;
    }
}

impl<F> Drop for Writing<'_, F> {
    fn drop(&mut self) {
        let lagging = self.gate.settled();
        let mut locked = self.gate.lock(self.number);
        let state = locked.states.entry(self.number).or_default();
        state.ended += 1;
        let uncertain = lagging.filter(|_| !self.certain);
        state.settling.join(Settling { uncertain, lagging });
        locked.tidy(self.number);
    }
}
