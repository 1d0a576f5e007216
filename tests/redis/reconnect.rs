//! Reconnects: servers that crash, hang and restart; and callers that are dropped.

use crate::support::process::free_port;
use crate::support::redis::Server;
use crate::{Admin, assert_kind, open, pause};
use futures_util::FutureExt;
use futures_util::future::join_all;
use keyvaluestore::backend::RedisOptions;
use keyvaluestore::{ErrorKind, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A store with short timeouts.
async fn with_short_timeouts(url: &str) -> Store {
    let timeout = Duration::from_millis(300);
    let options = RedisOptions::new().response_timeout(timeout).connect_timeout(timeout);
    Store::new(options.open(url).await.unwrap())
}

/// 500 keys; each value identifies its key.
async fn fill(store: &Store) {
    let mut batch = store.batch();
    for i in 0..500 {
        batch.set(format!("own{i}"), i);
    }
    batch.exec().await.unwrap();
}

/// Every call gets its own answer.
async fn assert_not_shifted(store: &Store) {
    let gets = (0..500).map(|i| async move {
        let value = store.get(format!("own{i}")).await.unwrap();
        assert_eq!(value.unwrap(), i.to_string());
    });
    join_all(gets).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_kills_and_nothing_is_applied_twice() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(&server.url()).await;
    let over = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let (s, over) = (store.clone(), Arc::clone(&over));
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                let (mut acked, mut unknown, mut refused, mut members) = (0, 0, 0, Vec::new());
                for i in 0.. {
                    if over.load(Relaxed) {
                        break;
                    }
                    let incremented = match task % 2 {
                        0 => s.incr_by(format!("n{task}"), 1).await.map(drop),
                        _ => {
                            let mut w = s.atomic_write();
                            w.incr_by(format!("n{task}"), 1);
                            w.sadd(format!("beside{task}"), [i]);
                            w.exec().await.map(drop)
                        }
                    };
                    let added = s.sadd(format!("s{task}"), [i]).await;
                    if added.is_ok() {
                        members.push(i.to_string());
                    }
                    match &incremented {
                        Ok(()) => acked += 1,
                        Err(e) if e.outcome_is_unknown() => unknown += 1,
                        Err(_) => refused += 1,
                    }
                    acknowledged.fetch_add(u64::from(incremented.is_ok()), Relaxed);
                    for error in [incremented.err(), added.err()].into_iter().flatten() {
                        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                        pause(2).await;
                    }
                }
                (acked, unknown, refused, members)
            })
        })
        .collect();
    // The server is killed only after it has acknowledged some writes.
    let progress = async || {
        let before = acknowledged.load(Relaxed);
        let start = Instant::now();
        while acknowledged.load(Relaxed) < before + 500 {
            assert!(start.elapsed() < Duration::from_secs(20), "later calls succeed");
            pause(5).await;
        }
    };
    for _ in 0..3 {
        progress().await;
        server.kill();
        pause(50).await;
        server.restart();
    }
    progress().await;
    over.store(true, Relaxed);
    let (mut unknowns, mut refusals) = (0, 0);
    for (task, result) in join_all(tasks).await.into_iter().enumerate() {
        let (acked, unknown, refused, members) = result.unwrap();
        let count = store.get(format!("n{task}")).await.unwrap().unwrap();
        let count: u64 = count.to().unwrap();
        assert!((acked..=acked + unknown).contains(&count), "{acked} + {unknown}: {count}");
        if task % 2 == 1 {
            let beside = store.smembers(format!("beside{task}")).await.unwrap();
            assert_eq!(beside.len() as u64, count, "all or nothing");
        }
        let found = store.smembers(format!("s{task}")).await.unwrap();
        for member in members {
            assert!(found.iter().any(|m| *m == member), "{member} was acknowledged");
        }
        (unknowns, refusals) = (unknowns + unknown, refusals + refused);
    }
    assert!(unknowns > 0 && refusals > 0, "{unknowns} {refusals}");
}

async fn idle_disconnections() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(&server.url()).await;
    store.set("k", "v").await.unwrap();
    for round in 1..=6 {
        if round % 2 == 0 {
            server.restart();
        } else {
            server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        pause(50).await;
        match round % 3 {
            0 => assert_eq!(store.get("k").await.unwrap().unwrap(), "v"),
            1 => drop(store.incr_by("n", 1).await.unwrap()),
            _ => {
                let mut w = store.atomic_write();
                w.incr_by("n", 1);
                assert!(w.exec().await.unwrap().is_committed());
            }
        }
    }
    assert_eq!(store.get("n").await.unwrap().unwrap(), "4");
}

#[tokio::test]
async fn a_connection_lost_while_idle_is_not_noticed() {
    idle_disconnections().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_it_on_several_threads() {
    idle_disconnections().await;
}

#[tokio::test]
async fn many_callers_connect_once() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    fill(&store).await;
    admin.done(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    pause(50).await;
    let before = admin.info("stats", "total_connections_received");
    assert_not_shifted(&store).await;
    assert_eq!(admin.info("stats", "total_connections_received"), before + 1);
}

#[tokio::test]
async fn a_store_outlives_the_runtime_that_connected_it() {
    let server = Server::start(&[]);
    let url = server.url();
    let in_a_runtime = |work: Box<dyn FnOnce() + Send>| std::thread::spawn(work).join().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    in_a_runtime(Box::new(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(open(&url));
        runtime.block_on(store.set("k", "v")).unwrap();
        sender.send(store).unwrap();
    }));
    let store = receiver.recv().unwrap();
    assert_eq!(store.get("k").await.unwrap().unwrap(), "v");
}

#[tokio::test]
async fn a_server_that_hangs_is_a_timeout_and_shifts_no_answers() {
    let server = Server::start(&[]);
    let store = with_short_timeouts(&server.url()).await;
    fill(&store).await;
    // Loads the script.
    let mut w = store.atomic_write();
    w.incr_by("n", 1);
    assert!(w.exec().await.unwrap().is_committed());
    server.pause(true);
    let start = Instant::now();
    let read = store.get("own1");
    let write = store.incr_by("n", 1);
    let mut w = store.atomic_write();
    w.incr_by("n", 1);
    let mut b = store.batch();
    let (of_batch, get) = (b.incr_by("n", 1), b.get("own2"));
    let (read, write, atomic, mut r) = tokio::join!(read, write, w.exec(), b.exec_each());
    let took = start.elapsed();
    assert!((250..900).contains(&took.as_millis()), "{took:?}");
    assert!(!assert_kind(read, ErrorKind::Timeout).outcome_is_unknown());
    assert!(assert_kind(write, ErrorKind::Timeout).outcome_is_unknown());
    assert!(assert_kind(atomic, ErrorKind::Timeout).outcome_is_unknown());
    assert!(assert_kind(r.take(of_batch), ErrorKind::Timeout).outcome_is_unknown());
    assert!(!assert_kind(r.take(get), ErrorKind::Timeout).outcome_is_unknown());
    // Now no connection can be made, so nothing is sent, and the outcome is known.
    let start = Instant::now();
    let error = assert_kind(store.incr_by("n", 1).await, ErrorKind::Timeout);
    assert!(!error.outcome_is_unknown() && start.elapsed() < Duration::from_millis(900));
    server.pause(false);
    pause(60).await; // the longest first backoff
    assert_not_shifted(&store).await;
    let n: u64 = store.get("n").await.unwrap().unwrap().to().unwrap();
    assert_eq!(n, 4, "the writes that timed out were applied late, and once");
}

#[tokio::test]
async fn who_never_answers_is_a_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/?connect_timeout=200ms", listener.local_addr().unwrap());
    let start = Instant::now();
    assert_kind(Store::open(url).await, ErrorKind::Timeout);
    let took = start.elapsed();
    assert!((150..900).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn a_closed_port_is_unavailable_at_once() {
    let start = Instant::now();
    let url = format!("redis://127.0.0.1:{}/", free_port());
    let error = assert_kind(Store::open(url).await, ErrorKind::Unavailable);
    assert_eq!(error.operation(), Some("open"));
    assert!(start.elapsed() < Duration::from_millis(900));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_do_not_wait_shift_no_answers() {
    let server = Server::start(&[]);
    let store = open(&server.url()).await;
    fill(&store).await;
    let tasks = (0..64_u64).map(|task| {
        let s = store.clone();
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(task);
            let mut dropped = 0;
            for _ in 0..150 {
                let i = random.usize(0..500);
                let timeout = Duration::from_micros(random.u64(0..1_500));
                let call = async {
                    if random.bool() {
                        let value = s.get(format!("own{i}")).await.unwrap().unwrap();
                        assert_eq!(value, i.to_string());
                    } else {
                        let mut b = s.batch();
                        let both = [b.get(format!("own{i}")), b.get(format!("own{}", 499 - i))];
                        b.zhadd("z", i, i, 1.0);
                        let zhget = b.zhget("z", i);
                        let mut r = b.exec().await.unwrap();
                        let both = both.map(|get| r.take(get).unwrap().unwrap());
                        assert_eq!(both, [i, 499 - i].map(|i| i.to_string()));
                        assert_eq!(r.take(zhget).unwrap().unwrap(), i.to_string());
                    }
                };
                // Polled first, so that some are sent before they are dropped.
                tokio::select! {
                    biased;
                    () = call => {}
                    () = tokio::time::sleep(timeout) => dropped += 1,
                }
            }
            dropped
        })
    });
    let dropped: i32 = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    assert!(dropped > 100, "{dropped}");
    assert_not_shifted(&store).await;
}

/// The attempt continues without the caller that started it.
#[tokio::test]
async fn a_caller_that_does_not_wait_for_the_connection_keeps_no_other_from_it() {
    let server = Server::start(&[]);
    let store = with_short_timeouts(&server.url()).await;
    for _ in 0..3 {
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        pause(50).await;
        // One poll starts the attempt.
        assert!(store.set("k", "v").now_or_never().is_none());
        // Longer than the connect timeout.
        pause(400).await;
        store.set("k", "v").await.unwrap();
    }
}
