//! Copies of the value of a string, one for each thread that asks for it often, within the room
//! that there is for them.
//!
//! A clone of a value counts itself where the value is, and what two threads write the processors
//! hand to and fro. So a thread is handed clones of a copy that no other thread counts. Who has
//! kept the value has the first, and the others get theirs when they ask.

use super::counts::thread;
use crate::Value;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many threads get a copy of their own; those that have the same number but for a multiple of
/// it share one.
const COPIES: usize = 8;
/// The longest value of which there are copies. Longer ones take longer to use than to count.
const LONGEST: usize = 1_024;
/// What a copy takes beside its bytes: its count, its length, and what an allocation takes.
const OVERHEAD: usize = 32;

/// The room of a shard for copies, as its readers see it, who hold its lock together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room<'s> {
    /// How many bytes the copies of the shard take.
    pub(super) taken: &'s AtomicU64,
    /// How many they may take.
    pub(super) most: u64,
}

impl Room<'_> {
    fn take(self, bytes: u64) -> bool {
        let more = |taken| (taken + bytes <= self.most).then_some(taken + bytes);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
    /// What is in `cell`, or what is made for it now if there is room.
    fn get_or_make<T>(
        self,
        cell: &OnceLock<T>,
        bytes: usize,
        make: impl FnOnce() -> T,
    ) -> Option<&T> {
        if cell.get().is_none() && self.take(bytes as u64) && cell.set(make()).is_err() {
            // Another thread of the same number was faster.
            self.taken.fetch_sub(bytes as u64, Ordering::Relaxed);
        }
        cell.get()
    }
}

type Others = [OnceLock<Value>; COPIES];

/// Those of one value. A clone begins without any.
#[derive(Debug)]
pub(super) struct Copies {
    keeper: u8,
    each: u16,
    others: OnceLock<Box<Others>>,
}

impl Clone for Copies {
    fn clone(&self) -> Self {
        Copies { others: OnceLock::new(), ..*self }
    }
}

impl Copies {
    /// If they are worth it.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let keeper = (thread() % COPIES) as u8;
        let each = u16::try_from(OVERHEAD + value.len()).ok()?;
        let worth = value.is_counted() && value.len() <= LONGEST;
        worth.then(|| Copies { keeper, each, others: OnceLock::new() })
    }
    /// A clone of the copy of this thread, or of `value` itself while it has none.
    #[inline]
    pub(super) fn mine(&self, value: &Value, room: Room<'_>) -> Value {
        let mine = thread() % COPIES;
        match mine == usize::from(self.keeper) {
            true => value.clone(),
            false => self.other(mine, value, room),
        }
    }
    #[inline]
    fn other(&self, mine: usize, value: &Value, room: Room<'_>) -> Value {
        let others = room.get_or_make(&self.others, size_of::<Others>(), Box::default);
        let copy = || Value::from(value.as_bytes());
        let other =
            others.and_then(|others| room.get_or_make(&others[mine], self.each.into(), copy));
        other.unwrap_or(value).clone()
    }
    /// How many bytes they take of the room.
    pub(super) fn bytes(&self) -> u64 {
        let Some(others) = self.others.get() else { return 0 };
        let made = others.iter().filter(|other| other.get().is_some()).count();
        (size_of::<Others>() + made * usize::from(self.each)) as u64
    }
    /// Gives them up. Whoever asks again gets one again.
    pub(super) fn clear(&mut self) {
        self.others.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where what each thread is handed lies. Which of them have the same number as this one is not
    /// known.
    fn places(copies: &Copies, value: &Value, room: Room<'_>) -> Vec<usize> {
        let place = || copies.mine(value, room).as_ptr() as usize;
        let theirs = || {
            let [first, second] =
                std::thread::scope(|s| s.spawn(|| [place(), place()]).join()).expect("no panic");
            assert_eq!(first, second, "the same one each time");
            first
        };
        (0..COPIES).map(|_| theirs()).collect()
    }

    #[test]
    fn another_thread_is_handed_a_copy_of_its_own_and_the_same_one_each_time() {
        let value = Value::from(vec![7; LONGEST]);
        let copies = Copies::of(&value).expect("worth it");
        let taken = AtomicU64::new(0);
        let room = Room { taken: &taken, most: u64::MAX };
        let ours = value.as_ptr() as usize;
        assert_eq!(copies.mine(&value, room).as_ptr() as usize, ours);
        assert_eq!(copies.bytes(), 0);
        assert!(places(&copies, &value, room).iter().any(|place| *place != ours));
        assert_eq!(copies.mine(&value, room), value);
        assert_eq!(taken.load(Ordering::Relaxed), copies.bytes());
    }

    #[test]
    fn copies_are_made_while_there_is_room_and_again_when_they_were_given_up() {
        let value = Value::from(vec![7; 100]);
        let mut copies = Copies::of(&value).expect("worth it");
        let ours = value.as_ptr() as usize;
        let taken = AtomicU64::new(0);
        let two = (size_of::<Others>() + 2 * (OVERHEAD + 100)) as u64;
        for (most, made) in [(0, 0), (two - 1, 1), (two, 2)] {
            let room = Room { taken: &taken, most };
            let theirs = places(&copies, &value, room);
            let mut others: Vec<_> = theirs.into_iter().filter(|place| *place != ours).collect();
            others.sort_unstable();
            others.dedup();
            assert_eq!(others.len(), made, "room for {most}");
            assert!(taken.load(Ordering::Relaxed) <= most);
            assert_eq!(taken.load(Ordering::Relaxed), copies.bytes());
            taken.store(0, Ordering::Relaxed);
            copies.clear();
            assert_eq!(copies.bytes(), 0);
        }
    }

    #[test]
    fn of_two_threads_that_make_the_same_copy_one_gives_its_room_back() {
        let (taken, cell) = (AtomicU64::new(0), OnceLock::new());
        let room = Room { taken: &taken, most: 10 };
        let make = || {
            assert_eq!(room.get_or_make(&cell, 5, || "of the faster one"), cell.get());
            "of the slower one"
        };
        assert_eq!(room.get_or_make(&cell, 5, make), Some(&"of the faster one"));
        assert_eq!(taken.into_inner(), 5);
    }

    #[test]
    fn what_is_long_or_not_counted_is_not_copied() {
        for (len, worth) in [(5, false), (100, true), (LONGEST, true), (LONGEST + 1, false)] {
            assert_eq!(Copies::of(&Value::from(vec![7; len])).is_some(), worth, "{len} bytes");
        }
    }
}
