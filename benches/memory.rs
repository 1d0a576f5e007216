//! The memory backend: time and instructions per call.
//!
//! `cargo bench --bench memory` prints nanoseconds per call, and the ratio to a `get` on a
//! `Mutex<HashMap>`. `memory --count NAME N` makes N calls of one kind in [`counted`] and exits:
//! `cargo xtask bench instructions` runs that under callgrind, which counts only in that function.

use futures_util::FutureExt;
use keyvaluestore::{Backend, Key, Memory, Store, Value};
use std::collections::HashMap;
use std::future::Future;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

const VALUE: [u8; 100] = [b'v'; 100];

fn now<T>(future: impl Future<Output = keyvaluestore::Result<T>>) -> T {
    future.now_or_never().expect("memory does not wait").expect("the call succeeds")
}

/// The data: 1,000 values of 100 bytes, a set of 10 members, a sorted set of 10,000 members.
struct World {
    concrete: Store<Memory>,
    erased: Store,
    bare: Mutex<HashMap<Key, Value>>,
    keys: Vec<Key>,
    names: Vec<String>,
    members: Vec<String>,
}

impl World {
    fn new() -> Self {
        let memory = Memory::new();
        let names: Vec<String> = (0..1_000).map(|i| format!("key:{i:06}")).collect();
        let world = World {
            concrete: Store::with_backend(memory.clone()),
            erased: Store::new(memory),
            bare: Mutex::default(),
            keys: names.iter().map(Key::from).collect(),
            names,
            members: (0..10_000).map(|i| format!("member:{i:06}")).collect(),
        };
        for key in &world.keys {
            now(world.concrete.set(key, VALUE));
            world.bare.lock().expect("no panics").insert(key.clone(), Value::from(&VALUE));
        }
        now(world.concrete.sadd("set", &world.members[..10]));
        for (i, member) in world.members.iter().enumerate() {
            now(world.concrete.zadd("sorted", member, i as f64));
        }
        world
    }
}

/// One call, the `i`th of its kind.
type Call = fn(&World, usize);

const CALLS: [(&str, Call); 12] = [
    ("bare locked map, get", |w, i| {
        let map = w.bare.lock().expect("no panics");
        black_box(map.get(&w.keys[i * 7 % 1_000]).cloned());
    }),
    ("get, concrete, shared key", |w, i| {
        drop(black_box(now(w.concrete.get(&w.keys[i * 7 % 1_000]))));
    }),
    ("get", |w, i| drop(black_box(now(w.erased.get(&w.names[i * 7 % 1_000]))))),
    ("set, concrete", |w, i| now(w.concrete.set(&w.names[i * 7 % 1_000], VALUE))),
    ("set", |w, i| now(w.erased.set(&w.names[i * 7 % 1_000], VALUE))),
    ("set_eq", |w, i| {
        black_box(now(w.erased.set_eq(&w.names[i * 7 % 1_000], VALUE, VALUE)));
    }),
    ("incr_by", |w, _| {
        black_box(now(w.erased.incr_by("counter", 1)));
    }),
    ("zadd into 10,000", |w, i| {
        now(w.erased.zadd("sorted", &w.members[i * 7 % 10_000], (i * 13 % 10_007) as f64));
    }),
    ("zrange of 10 of 10,000", |w, i| {
        let low = (i * 7 % 9_000) as f64;
        black_box(now(w.erased.zrange("sorted").by_score(low..).limit(10).into_future()));
    }),
    ("smembers of 10", |w, _| drop(black_box(now(w.erased.smembers("set"))))),
    ("atomic write of 4", |w, i| {
        let key = |n| &w.names[(i * 4 + n) % 1_000];
        let mut tx = w.erased.atomic_write();
        tx.set(key(0), VALUE);
        tx.set_xx(key(1), VALUE);
        tx.set_eq(key(2), VALUE, VALUE);
        tx.sadd("set", [&w.members[0]]);
        black_box(now(tx.exec()).is_committed());
    }),
    ("batch of 100 gets", |w, _| batch(&w.erased, &w.names[..100])),
];

fn batch<B: Backend>(store: &Store<B>, names: &[String]) {
    let mut batch = store.batch();
    let handles: Vec<_> = names.iter().map(|name| batch.get(name)).collect();
    let mut replies = now(batch.exec());
    for handle in handles {
        black_box(replies.take(handle).expect("the call succeeds"));
    }
}

/// Nanoseconds per call: the minimum of several rounds, which excludes interference.
fn time(world: &World, call: Call) -> f64 {
    let n = 20_000;
    let rounds = (0..15).map(|_| {
        let start = Instant::now();
        (0..n).for_each(|i| call(world, i));
        start.elapsed().as_nanos() as f64 / n as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

/// The function in which callgrind counts. It contains only the calls.
#[inline(never)]
fn counted(world: &World, call: Call, n: usize) {
    (0..n).for_each(|i| call(world, i));
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let world = World::new();
    if let Some(at) = args.iter().position(|arg| arg == "--count") {
        let name = args.get(at + 1).expect("--count NAME N");
        let n = args.get(at + 2).and_then(|n| n.parse().ok()).expect("--count NAME N");
        let (_, call) = CALLS.iter().find(|(call, _)| call == name).expect("a call of that name");
        counted(&world, *call, n);
        return;
    }
    if args.iter().any(|arg| arg == "--list") {
        CALLS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    }
    println!("{:<28} {:>10} {:>8}", "memory", "ns", "ratio");
    let bare = time(&world, CALLS[0].1);
    for (name, call) in CALLS {
        let took = time(&world, call);
        println!("{name:<28} {took:>10.0} {:>8.2}", took / bare);
    }
}
