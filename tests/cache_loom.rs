//! The protocol of the cache, in every interleaving: `src/wrap/cache/gate.rs` itself, compiled on
//! loom's locks.
//!
//! The "store" is one number, and so is the table. Loom runs each model in all orders in which its
//! threads can meet.

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
    kept: AtomicU64,
    /// The newest value whose write has ended.
    written: AtomicU64,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(World {
            gate: Gate::new(1, Duration::ZERO),
            stored: AtomicU64::new(0),
            kept: AtomicU64::new(NOTHING),
            written: AtomicU64::new(0),
        })
    }
    fn write(&self, value: u64) {
        let writing = self.gate.start_write(7, || self.kept.store(NOTHING, SeqCst));
        self.stored.store(value, SeqCst);
        drop(writing);
        self.written.fetch_max(value, SeqCst);
    }
    fn read(&self) -> u64 {
        match self.kept.load(SeqCst) {
            NOTHING => {}
            known => return known,
        }
        let look = |_: &mut _, _| match self.kept.load(SeqCst) {
            NOTHING => None,
            known => Some(known),
        };
        match self.gate.start_read(7, false, look) {
            Err(known) => known,
            Ok(reading) => {
                let value = self.stored.load(SeqCst);
                reading.end(|_, may| {
                    if may {
                        self.kept.store(value, SeqCst);
                    }
                });
                value
            }
        }
    }
    /// Never older than the last write that has ended, and a reader never goes back.
    fn read_checked(&self, before: u64) -> u64 {
        let written = self.written.load(SeqCst);
        let value = self.read();
        assert!(value >= written, "{value} was read after {written} was written");
        assert!(value >= before, "{value} was read after {before}");
        value
    }
}

/// All orders with at most three changes of thread that nothing forces: more of them takes hours,
/// and finds no more.
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

/// Two writes at once: one may end while the other is in flight.
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

/// All keys are written at once by somebody else, while a reply is put beside what is kept of one:
/// as bits, the old reply and the new one.
#[test]
fn what_is_forgotten_with_everything_is_not_brought_back() {
    model(|| {
        let gate = Arc::new(Gate::<()>::new(2, Duration::ZERO));
        let kept = Arc::new(AtomicU64::new(1));
        let reader = {
            let (gate, kept) = (Arc::clone(&gate), Arc::clone(&kept));
            thread::spawn(move || {
                let Ok(reading) = gate.start_read(7, false, |_, _| None::<()>) else { return };
                reading.end(|_, may| {
                    if may {
                        let old = kept.load(SeqCst);
                        kept.store(old | 2, SeqCst);
                    }
                });
            })
        };
        gate.write_all(|| kept.store(0, SeqCst));
        reader.join().unwrap();
        assert_eq!(kept.load(SeqCst) & 1, 0);
    });
}
