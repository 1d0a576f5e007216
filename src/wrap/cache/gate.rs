//! Which reads may be kept: the protocol that makes a stale entry impossible.
//!
//! Every key counts the writes that have *begun* and those that have *ended*. A reply is kept only if, when its read
//! started, all writes that had begun had ended, and if none has begun since:
//!
//! ```text
//!  read    ├── start: begun == ended? note begun ──── inner read ──── keep, if begun is still what was noted ──┤
//!  write   ├── begin: begun += 1, forget what is kept ──── inner write ──── end: ended += 1 ──┤
//! ```
//!
//! - A read that was in flight when a write began finds `begun` moved. A read that started while a write was in flight
//!   had seen `begun != ended`. A read that started after the end sees what was written. There is no fourth.
//! - Both checks, and the change of the table that goes with them, are made under the lock of the key's stripe.
//! - `end` is the drop of a guard, so that a write that fails, or whose future is dropped, ends, too.
//! - A key is known here only while something of it is under way: the price of a hit is nothing.
//!
//! Where it stops: a write whose outcome is unknown may be applied after it has "ended", and a replica may lag behind a
//! write. Both are a matter of time, and so is the answer: for a while (`settle`) nothing of that key is kept.
//!
//! The file is also compiled by `tests/model.rs`, on loom's locks, and every interleaving is tried.

use super::sync::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

type Hasher = foldhash::fast::RandomState;
type States<F> = HashMap<u64, State<F>, Hasher>;

/// What is under way, by key. `F` is what belongs to a read that others may join.
pub(super) struct Gate<F> {
    stripes: Box<[Stripe<F>]>,
    hasher: Hasher,
    settle: Duration,
}

// On a line of its own, so that neighbours do not slow each other down.
#[repr(align(64))]
struct Stripe<F>(Mutex<States<F>>);

/// What is under way with one key.
pub(super) struct State<F> {
    begun: u64,
    ended: u64,
    reads: u32,
    /// The reads that others may join.
    pub(super) flights: Vec<F>,
    /// Until when no reply is kept, as a write may still be applied.
    uncertain: Option<Instant>,
    /// Until when no reply of a replica is kept, as it may lag behind a write.
    lagging: Option<Instant>,
}

impl<F> Default for State<F> {
    fn default() -> Self {
        State { begun: 0, ended: 0, reads: 0, flights: Vec::new(), uncertain: None, lagging: None }
    }
}

impl<F> State<F> {
    /// Whether there is nothing left to know about the key.
    fn is_idle(&self) -> bool {
        let past = |until: Option<Instant>| until.is_none_or(|until| until <= Instant::now());
        self.begun == self.ended
            && self.reads == 0
            && self.flights.is_empty()
            && past(self.uncertain)
            && past(self.lagging)
    }
    /// How many writes have begun, if what is read now may be kept.
    fn note(&self, eventual: bool) -> Option<u64> {
        let quiet = |until: Option<Instant>| until.is_none_or(|until| until <= Instant::now());
        let settled = quiet(self.uncertain) && (!eventual || quiet(self.lagging));
        (self.begun == self.ended && settled).then_some(self.begun)
    }
}

impl<F> Gate<F> {
    /// `stripes` is how many locks the keys share.
    pub(super) fn new(stripes: usize, settle: Duration) -> Self {
        let stripe = |_| Stripe(Mutex::new(HashMap::with_hasher(Hasher::default())));
        Gate {
            stripes: (0..stripes.max(1)).map(stripe).collect(),
            hasher: Hasher::default(),
            settle,
        }
    }
    /// The number that stands for a key. Two keys of one number only keep each other from being kept.
    pub(super) fn number(&self, key: &(impl Hash + ?Sized)) -> u64 {
        self.hasher.hash_one(key)
    }
    fn lock(&self, number: u64) -> MutexGuard<'_, States<F>> {
        let stripe = (number >> 32) as usize % self.stripes.len();
        // Nothing panics under it; if it did, the counts would still be whole.
        self.stripes[stripe].0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A read starts, unless `look`, which is called under the lock of the key, knows better.
    pub(super) fn read<T>(
        &self,
        number: u64,
        eventual: bool,
        look: impl FnOnce(&mut State<F>, Option<u64>) -> Option<T>,
    ) -> Result<Reading<'_, F>, T> {
        let mut states = self.lock(number);
        let state = states.entry(number).or_default();
        let noted = state.note(eventual);
        let known = look(state, noted);
        if let Some(known) = known {
            tidy(&mut states, number);
            return Err(known);
        }
        state.reads += 1;
        Ok(Reading { gate: self, number, noted })
    }

    /// A write begins: `forget` removes what is kept of the key, under its lock.
    pub(super) fn write(&self, number: u64, forget: impl FnOnce()) -> Writing<'_, F> {
        let mut states = self.lock(number);
        states.entry(number).or_default().begun += 1;
        forget();
        Writing { gate: self, number, certain: false }
    }

    /// Every read that is under way will not be kept.
    pub(super) fn spoil(&self) {
        for stripe in &self.stripes {
            let mut states = stripe.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            for state in states.values_mut() {
                state.begun += 1;
                state.ended += 1;
            }
        }
    }
}

/// Forgets a key of which nothing is under way, and now and then all others of that stripe.
fn tidy<F>(states: &mut States<F>, number: u64) {
    if states.get(&number).is_some_and(State::is_idle) {
        states.remove(&number);
    }
    if states.len() == states.capacity() {
        states.retain(|_, state| !state.is_idle());
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
    /// The read has ended: `keep` is told, under the lock of the key, whether the reply may be kept.
    pub(super) fn end<T>(self, keep: impl FnOnce(&mut State<F>, bool) -> T) -> T {
        let mut states = self.gate.lock(self.number);
        let state = states.entry(self.number).or_default();
        let unchanged = self.noted == Some(state.begun);
        let kept = keep(state, unchanged);
        drop(states); // as the drop of `self` takes it again
        kept
    }
}

impl<F> Drop for Reading<'_, F> {
    fn drop(&mut self) {
        let mut states = self.gate.lock(self.number);
        if let Some(state) = states.get_mut(&self.number) {
            state.reads -= 1;
        }
        tidy(&mut states, self.number);
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
    pub(super) fn is_certain(&mut self) {
        self.certain = true;
    }
}

impl<F> Drop for Writing<'_, F> {
    fn drop(&mut self) {
        let mut states = self.gate.lock(self.number);
        let state = states.entry(self.number).or_default();
        state.ended += 1;
        if !self.gate.settle.is_zero() {
            let until = Instant::now() + self.gate.settle;
            state.lagging = Some(until);
            if !self.certain {
                state.uncertain = Some(until);
            }
        }
        tidy(&mut states, self.number);
    }
}
