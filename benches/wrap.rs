//! The wrappers: the cost of each for a `get`, the cost of a cache hit, and the throughput of two
//! threads that hit the same cache.
//!
//! `cargo bench --bench wrap` prints nanoseconds of processor time; `wrap --count NAME N` makes N
//! calls of one kind in [`counted`] and exits: `cargo xtask bench wrap` runs that under callgrind.

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
    on_write: Store<OnWrite<Memory, Hook>>,
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
            on_write: filled(OnWrite::new(Memory::new(), (|_| ()) as Hook), &names),
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

/// The `i`th call of one kind.
type Call = fn(&World, usize);

const CALLS: [(&str, Call); 15] = [
    ("memory get", |w, i| drop(black_box(now(w.bare.get(w.key(i)))))),
    ("+ prefix", |w, i| drop(black_box(now(w.prefix.get(w.key(i)))))),
    ("+ on_write", |w, i| drop(black_box(now(w.on_write.get(w.key(i)))))),
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

/// Nanoseconds of processor time per call: the minimum of 25 rounds. Time of other processes does
/// not count.
fn time(world: &World, call: Call) -> f64 {
    let n = 20_000;
    let rounds = (0..25).map(|_| {
        let start = ThreadTime::now();
        (0..n).for_each(|i| call(world, i));
        start.elapsed().as_nanos() as f64 / f64::from(n as u32)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

/// Many short rounds, so that at least one of them is not disturbed by other processes.
const ROUNDS: usize = 2_000;

/// How long the threads take for 4,000 concurrent calls each, from the first start to the last end:
/// the minimum of all rounds.
fn together(worlds: &[&World], call: Call) -> f64 {
    let threads = worlds.len();
    let arrived = AtomicUsize::new(0);
    // Each thread starts at another key, as threads that serve different requests do.
    let round = |thread: usize, round: usize| {
        arrived.fetch_add(1, SeqCst);
        // Spins: to wake a thread from a barrier takes a large part of a round.
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

/// The throughput of two threads relative to one: on one cache, and with a cache each, which is the
/// maximum of the machine.
fn scaling(world: &World, other: &World, call: Call) -> (f64, f64) {
    let one = together(&[world], call);
    let of = |worlds| 2.0 * one / together(worlds, call);
    (of(&[world, world]), of(&[world, other]))
}

/// The function whose instructions callgrind counts. It contains only the calls.
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
        let (shared, separate) = scaling(&world, &other, call);
        println!("two threads, {name}: {shared:.2} times one; with a cache each: {separate:.2}");
    }
}
