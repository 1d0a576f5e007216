//! The protocol of the cache, in all interleavings: `src/wrap/cache/gate.rs`, compiled with loom's
//! locks.
//!
//! The store is one number, and so is the table. Loom runs each model in all interleavings of its
//! threads.

#![cfg(feature = "cache")]
#![allow(missing_docs, dead_code, unreachable_pub, reason = "this is test code")]

mod sync {
    pub(super) use loom::sync::{Mutex, MutexGuard};
}
#[path = "../src/wrap/cache/gate.rs"]
mod gate;

use gate::Gate;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::SeqCst};
use loom::thread;
use std::time::Duration;

const NOTHING: u64 = u64::MAX;

/// A store behind a cache.
struct World {
    gate: Gate<()>,
    stored: AtomicU64,
    cached: AtomicU64,
    /// The newest value of a write that has ended.
    written: AtomicU64,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(World {
            gate: Gate::new(1, Duration::ZERO),
            stored: AtomicU64::new(0),
            cached: AtomicU64::new(NOTHING),
            written: AtomicU64::new(0),
        })
    }
    fn write(&self, value: u64) {
        let writing = self.gate.start_write(7, || self.cached.store(NOTHING, SeqCst));
        self.stored.store(value, SeqCst);
        drop(writing);
        self.written.fetch_max(value, SeqCst);
    }
    fn read(&self) -> u64 {
        match self.cached.load(SeqCst) {
            NOTHING => {}
            cached => return cached,
        }
        let lookup = |_: &mut _, _| match self.cached.load(SeqCst) {
            NOTHING => None,
            cached => Some(cached),
        };
        match self.gate.start_read(7, false, lookup) {
            Err(cached) => cached,
            Ok(reading) => {
                let value = self.stored.load(SeqCst);
                reading.end(|_, may_cache| {
                    if may_cache {
                        self.cached.store(value, SeqCst);
                    }
                });
                value
            }
        }
    }
    /// Reads a value that must not be older than the last write that has ended, nor than `before`.
    fn read_checked(&self, before: u64) -> u64 {
        let written = self.written.load(SeqCst);
        let value = self.read();
        assert!(value >= written, "{value} was read after {written} was written");
        assert!(value >= before, "{value} was read after {before}");
        value
    }
}

/// Runs all interleavings with at most three preemptions. With more it takes hours.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

#[test]
fn a_reader_never_sees_less_than_what_was_written_nor_goes_back() {
    loom::model(|| {
        let world = World::new();
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.write(1))
        };
        let seen = world.read_checked(0);
        world.read_checked(seen);
        writer.join().unwrap();
        assert_eq!(world.read(), 1);
    });
}

#[test]
fn two_readers_and_a_writer() {
    model(|| {
        let world = World::new();
        let spawn = |run: fn(&World)| {
            let world = Arc::clone(&world);
            thread::spawn(move || run(&world))
        };
        let writer = spawn(|world| world.write(1));
        let reader = spawn(|world| {
            world.read_checked(0);
        });
        world.read_checked(0);
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(world.read(), 1);
    });
}

/// Of two concurrent writes, one may end while the other is in flight.
#[test]
fn two_writers_and_a_reader() {
    model(|| {
        let world = World::new();
        let spawn = |value| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.write(value))
        };
        let writers = [spawn(1), spawn(2)];
        world.read();
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(world.read(), world.stored.load(SeqCst));
    });
}

/// All replies are removed while a reply is added to the entry of a key. Bits stand for the old
/// reply and the new one.
#[test]
fn what_is_forgotten_with_everything_is_not_brought_back() {
    model(|| {
        let gate = Arc::new(Gate::<()>::new(2, Duration::ZERO));
        let cached = Arc::new(AtomicU64::new(1));
        let reader = {
            let (gate, cached) = (Arc::clone(&gate), Arc::clone(&cached));
            thread::spawn(move || {
                let Ok(reading) = gate.start_read(7, false, |_, _| None::<()>) else { return };
                reading.end(|_, may_cache| {
                    if may_cache {
                        let old = cached.load(SeqCst);
                        cached.store(old | 2, SeqCst);
                    }
                });
            })
        };
        gate.write_all(|| cached.store(0, SeqCst));
        reader.join().unwrap();
        assert_eq!(cached.load(SeqCst) & 1, 0);
    });
}
