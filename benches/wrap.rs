//! The wrappers: what each adds to a `get`, what a hit of the cache takes, and whether two threads
//! hit it without waiting.
//!
//! `cargo bench --bench wrap` prints nanoseconds of processor time; `wrap --count NAME N` makes N
//! calls of one kind in [`counted`] and ends: `cargo xtask bench wrap` runs that under callgrind.

use cpu_time::ThreadTime;
use futures_util::FutureExt;
use keyvaluestore::observe::Profiler;
use keyvaluestore::wrap::*;
use keyvaluestore::{Backend, Key, Memory, Store};
use std::future::Future;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const VALUE: [u8; 100] = [b'v'; 100];

fn now<T>(future: impl Future<Output = keyvaluestore::Result<T>>) -> T {
    future.now_or_never().expect("memory does not wait").expect("it works")
}

type Hook = fn(&Key);

struct World {
    names: Vec<String>,
    keys: Vec<Key>,
    bare: Store<Memory>,
    prefix: Store<Prefix<Memory>>,
    invalidate: Store<OnWrite<Memory, Hook>>,
    retry: Store<Retry<Memory>>,
    timeout: Store<Timeout<Memory>>,
    metrics: Store<Metrics<Memory>>,
    trace: Store<Trace<Memory>>,
    profiled: Store<Memory>,
    shared: Store<Cache<Memory>>,
    in_bytes: Store<Cache<Memory>>,
    erased: Store,
    request: Store<Cache<Memory>>,
}

fn filled<B: Backend>(backend: B, names: &[String]) -> Store<B> {
    let store = Store::with_backend(backend);
    for name in names {
        now(store.set(name, VALUE));
        now(store.get(name));
    }
    now(store.sadd("set", &names[..10]));
    now(store.smembers("set"));
    store
}

impl World {
    fn new() -> Self {
        let names: Vec<String> = (0..1_000).map(|i| format!("key:{i:06}")).collect();
        let cache = Cache::shared(Memory::new(), CacheOptions::max_replies(100_000));
        World {
            bare: filled(Memory::new(), &names),
            prefix: filled(Prefix::new(Memory::new(), "app"), &names),
            invalidate: filled(OnWrite::new(Memory::new(), (|_| ()) as Hook), &names),
            retry: filled(Retry::new(Memory::new(), RetryPolicy::default()), &names),
            timeout: filled(Timeout::new(Memory::new(), Duration::from_secs(1)), &names),
            metrics: filled(Metrics::new(Memory::new(), "memory"), &names),
            trace: filled(Trace::new(Memory::new(), "memory"), &names),
            profiled: filled(Memory::new(), &names).with_profiler(&Profiler::new()),
            shared: filled(cache.clone(), &names),
            in_bytes: filled(
                Cache::shared(Memory::new(), CacheOptions::max_bytes(64 << 20)),
                &names,
            ),
            erased: Store::new(cache),
            request: filled(Cache::request(Memory::new()), &names),
            keys: names.iter().map(Key::from).collect(),
            names,
        }
    }
    fn key(&self, i: usize) -> &Key {
        &self.keys[i * 7 % 1_000]
    }
    fn name(&self, i: usize) -> &str {
        &self.names[i * 7 % 1_000]
    }
}

/// One call, the `i`th of its kind.
type Call = fn(&World, usize);

const CALLS: [(&str, Call); 15] = [
    ("memory get", |w, i| drop(black_box(now(w.bare.get(w.key(i)))))),
    ("+ prefix", |w, i| drop(black_box(now(w.prefix.get(w.key(i)))))),
    ("+ invalidate", |w, i| drop(black_box(now(w.invalidate.get(w.key(i)))))),
    ("+ retry", |w, i| drop(black_box(now(w.retry.get(w.key(i)))))),
    ("+ timeout", |w, i| drop(black_box(now(w.timeout.get(w.key(i)))))),
    ("+ metrics", |w, i| drop(black_box(now(w.metrics.get(w.key(i)))))),
    ("+ trace", |w, i| drop(black_box(now(w.trace.get(w.key(i)))))),
    ("+ profiler", |w, i| drop(black_box(now(w.profiled.get(w.key(i)))))),
    ("shared hit, shared key", |w, i| drop(black_box(now(w.shared.get(w.key(i)))))),
    ("shared hit, text", |w, i| drop(black_box(now(w.shared.get(w.name(i)))))),
    ("shared hit, erased, text", |w, i| drop(black_box(now(w.erased.get(w.name(i)))))),
    ("shared hit, smembers of 10", |w, _| drop(black_box(now(w.erased.smembers("set"))))),
    ("shared hit, in bytes", |w, i| drop(black_box(now(w.in_bytes.get(w.key(i)))))),
    ("request hit, text", |w, i| drop(black_box(now(w.request.get(w.name(i)))))),
    ("request made and dropped", |w, _| {
        drop(black_box(Store::with_backend(Cache::request(w.bare.backend().clone()))));
    }),
];

/// Nanoseconds of this thread per call: the least of some rounds. What others do with the
/// processors does not count.
fn time(world: &World, call: Call) -> f64 {
    let n = 20_000;
    let rounds = (0..25).map(|_| {
        let start = ThreadTime::now();
        (0..n).for_each(|i| call(world, i));
        start.elapsed().as_nanos() as f64 / f64::from(n as u32)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

/// Short, and many, so that in one of them nobody else wants the processors.
const ROUNDS: usize = 2_000;

/// How long so many threads take for 4,000 calls each, side by side, from the first start to the
/// last end: the least of all rounds.
fn together(worlds: &[&World], call: Call) -> f64 {
    let threads = worlds.len();
    let arrived = AtomicUsize::new(0);
    // Each at another place of the keys, as two who serve different requests.
    let round = |thread: usize, round: usize| {
        arrived.fetch_add(1, SeqCst);
        // Not a barrier, which takes a good part of a round to wake a thread.
        for spins in 0.. {
            if arrived.load(SeqCst) >= (round + 1) * threads {
                break;
            }
            match spins < 20_000 {
                true => std::hint::spin_loop(),
                false => std::thread::yield_now(),
            }
        }
        let start = Instant::now();
        (0..4_000).for_each(|i| call(worlds[thread], i + thread * 333));
        (start, Instant::now())
    };
    let rounds = |thread| (0..ROUNDS).map(|n| round(thread, n)).collect::<Vec<_>>();
    let all = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|i| scope.spawn(move || rounds(i))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panics")).collect::<Vec<_>>()
    });
    let took = (0..ROUNDS).map(|i| {
        let start = all.iter().map(|rounds| rounds[i].0).min().expect("there is a thread");
        let end = all.iter().map(|rounds| rounds[i].1).max().expect("there is a thread");
        end.duration_since(start).as_secs_f64()
    });
    took.fold(f64::INFINITY, f64::min)
}

/// How many times the calls of one thread two threads make in the same time: on one world, and each
/// on its own, which is what the machine can do.
fn scaling(world: &World, other: &World, call: Call) -> (f64, f64) {
    let one = together(&[world], call);
    let of = |worlds| 2.0 * one / together(worlds, call);
    (of(&[world, world]), of(&[world, other]))
}

/// What an instruction counter looks at: a function of its own, with nothing in it but the calls.
#[inline(never)]
fn counted(world: &World, call: Call, n: usize) {
    (0..n).for_each(|i| call(world, i));
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|arg| arg == "--list") {
        CALLS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    }
    let world = World::new();
    if let Some(at) = args.iter().position(|arg| arg == "--count") {
        let name = args.get(at + 1).expect("--count NAME N");
        let n = args.get(at + 2).and_then(|n| n.parse().ok()).expect("--count NAME N");
        let (_, call) = CALLS.iter().find(|(call, _)| call == name).expect("a call of that name");
        counted(&world, *call, n);
        return;
    }
    println!("{:<30}{:>8}", "wrappers", "ns");
    for (name, call) in CALLS {
        println!("{name:<30}{:>8.0}", time(&world, call));
    }
    let other = World::new();
    for (name, call) in [CALLS[0], CALLS[8], CALLS[10], CALLS[12]] {
        let (shared, apart) = scaling(&world, &other, call);
        println!("two threads, {name}: {shared:.2} times one; each on its own: {apart:.2}");
    }
}
