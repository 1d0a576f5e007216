//! Large replies and requests, which must not delay other clients.

use crate::support::redis::Server;
use crate::{Admin, assert_kind, open};
use keyvaluestore::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const MANY: usize = 200_000;

/// Fills a sorted hash with the fields `f000000`, … in the order of their scores, with or without
/// values.
fn fill(admin: &mut Admin, key: &str, n: usize, score: impl Fn(usize) -> usize, values: bool) {
    let ids: Vec<usize> = (0..n).collect();
    for ids in ids.chunks(5_000) {
        let mut pipe = redis::pipe();
        let zadd = pipe.cmd("ZADD").arg(key);
        for i in ids {
            zadd.arg(score(*i)).arg(format!("f{i:06}"));
        }
        let hset = pipe.cmd("HSET").arg(format!("__kvs_zh:{key}")).arg("").arg("own");
        for i in ids.iter().filter(|_| values) {
            hset.arg(format!("f{i:06}")).arg(format!("v{i:06}"));
        }
        pipe.exec(&mut admin.0).unwrap();
    }
}

/// Sends `PING` until `over` is true, and returns the longest time that one took.
fn pinging(server: &Server, over: &Arc<AtomicBool>) -> std::thread::JoinHandle<Duration> {
    let (mut admin, over) = (Admin::of(server), Arc::clone(over));
    std::thread::spawn(move || {
        let mut worst = Duration::ZERO;
        while !over.load(Relaxed) {
            let start = Instant::now();
            admin.done(&["PING"]);
            worst = worst.max(start.elapsed());
            std::thread::sleep(Duration::from_millis(1));
        }
        worst
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_ranges_are_complete_and_keep_nobody_waiting() {
    let server = Server::start(&[]);
    let (s, mut admin) = (open(&server.url()).await, Admin::of(&server));
    fill(&mut admin, "scores", MANY, |i| i / 3, true);
    fill(&mut admin, "lex", MANY, |_| 0, false);

    let mut worst = Vec::new();
    let (values, scored) = loop {
        let over = Arc::new(AtomicBool::new(false));
        let pings = pinging(&server, &over);
        let values = s.zhrange("scores").await.unwrap();
        let scored = s.zhrange("scores").rev().with_scores().await.unwrap();
        over.store(true, Relaxed);
        worst.push(pings.join().unwrap());
        // Repeated, as the machine may be busy.
        if worst.iter().any(|worst| *worst < Duration::from_millis(200)) {
            break (values, scored);
        }
        assert!(worst.len() < 4, "PING took {worst:?}");
    };
    assert_eq!((values.len(), scored.len()), (MANY, MANY));
    for (i, value) in values.iter().enumerate() {
        assert_eq!(*value, format!("v{i:06}"));
    }
    for (i, (value, score)) in scored.iter().rev().enumerate() {
        assert_eq!((value, *score), (&values[i], (i / 3) as f64));
    }

    let members = s.zrange("scores").await.unwrap();
    assert_eq!((members.len(), &members[MANY - 1]), (MANY, &format!("f{:06}", MANY - 1).into()));
    let scored = s.zrange("scores").with_scores().await.unwrap();
    assert_eq!((scored.len(), scored[MANY - 1].1), (MANY, ((MANY - 1) / 3) as f64));
    let lex = s.zrange("lex").by_lex(..).with_scores().await.unwrap();
    assert_eq!(lex.len(), MANY);
    assert!(lex.iter().zip(&members).all(|((a, score), b)| a == b && *score == 0.0));
    let lex = s.zrange("lex").by_lex("f1"..).rev().limit(50_000).with_scores().await.unwrap();
    assert_eq!((lex.len(), &lex[0].0), (50_000, &members[MANY - 1]));
    // Around the 1,000 entries that a script returns at once.
    for n in [999, 1_000, 1_001, 2_000, 2_001] {
        let values = s.zhrange("scores").limit(n).await.unwrap();
        assert_eq!((values.len(), &values[n - 1]), (n, &format!("v{:06}", n - 1).into()));
        let below = s.zhrange("lex").by_lex(..&*format!("f{n:06}")).with_scores().await.unwrap();
        assert_eq!((below.len(), &below[n - 1].0), (n, &members[n - 1]));
    }
}

#[tokio::test]
async fn large_collections_are_written_and_read_in_one_call() {
    let server = Server::start(&[]);
    let (s, mut admin) = (open(&server.url()).await, Admin::of(&server));
    s.sadd("set", 0..100_000).await.unwrap();
    s.sadd("set", 100_000..MANY).await.unwrap();
    let mut members: Vec<usize> =
        s.smembers("set").await.unwrap().iter().map(|m| m.to().unwrap()).collect();
    members.sort_unstable();
    assert!(members.into_iter().eq(0..MANY));
    s.hset("hash", (0..100_000).map(|i| (i, i + 1))).await.unwrap();
    let all = s.hgetall("hash").await.unwrap();
    assert_eq!(all.len(), 100_000);
    assert_eq!(all[&b"99999"[..]], "100000");

    let mut w = s.atomic_write();
    for i in 0..50 {
        w.sadd(format!("s{i}"), 0..1_000);
        w.hset(format!("h{i}"), (0..1_000).map(|i| (i, i)));
    }
    assert!(w.exec().await.unwrap().is_committed());
    for i in 0..50 {
        assert_eq!(admin.run::<usize>(&["SCARD", &format!("s{i}")]), 1_000);
        assert_eq!(admin.run::<usize>(&["HLEN", &format!("h{i}")]), 1_000);
    }
    // More than Lua can `unpack` at once.
    let mut w = s.atomic_write();
    w.srem("set", 0..100_000);
    w.hdel("hash", 20_000..90_001);
    assert!(w.exec().await.unwrap().is_committed());
    assert_eq!(admin.run::<usize>(&["SCARD", "set"]), 100_000);
    assert_eq!(admin.run::<usize>(&["HLEN", "hash"]), 100_000 - 70_001);
}

#[tokio::test]
async fn more_than_a_command_takes_is_refused_before_it_is_sent() {
    let server = Server::start(&[]);
    let (s, mut admin) = (open(&server.url()).await, Admin::of(&server));
    let before = admin.info("stats", "total_net_input_bytes");
    assert_kind(s.sadd("set", 0..1_048_577).await, ErrorKind::TooLarge);
    let mut w = s.atomic_write();
    w.set("k", "v");
    w.sadd("set", 0..1_048_577);
    assert_kind(w.exec().await, ErrorKind::TooLarge);
    let mut b = s.batch();
    let (large, small) = (b.sadd("set", 0..1_048_577), b.set("k", "v"));
    let mut r = b.exec_each().await;
    assert_kind(r.take(large), ErrorKind::TooLarge);
    r.take(small).unwrap();
    assert!(admin.info("stats", "total_net_input_bytes") - before < 1_000);
    assert_eq!(s.smembers("set").await.unwrap(), [""; 0]);
    s.sadd("set", 0..1_048_574).await.unwrap();
    assert_eq!(admin.run::<usize>(&["SCARD", "set"]), 1_048_574);
}

#[tokio::test]
async fn a_long_range_in_a_batch_is_complete_and_keeps_its_place() {
    let server = Server::start(&[]);
    let (s, mut admin) = (open(&server.url()).await, Admin::of(&server));
    fill(&mut admin, "z", 5_000, |i| i, true);
    fill(&mut admin, "other", 3_000, |i| i, true);
    let mut b = s.batch();
    let first = b.set_nx("k", "v");
    let long = b.zhrange("z").queue();
    let lex = b.zrange("other").by_lex(..).with_scores().queue();
    let get = b.get("k");
    let removed = b.zrem("z", "f000000");
    b.zhadd("z", "f000001", "new", 1.0);
    let again = b.zhrange("z").with_scores().queue();
    let deleted = b.delete("z");
    let none = b.zhrange("z").queue();
    let last = b.incr_by("n", 1);
    let mut r = b.exec().await.unwrap();
    assert!(r.take(first).unwrap() && r.take(deleted).unwrap());
    let long = r.take(long).unwrap();
    assert_eq!(long.len(), 5_000, "what comes after it in the batch has not happened yet");
    assert_eq!((&long[0], &long[1]), (&"v000000".into(), &"v000001".into()));
    assert_eq!(r.take(lex).unwrap().len(), 3_000);
    assert_eq!(r.take(get).unwrap().unwrap(), "v");
    r.take(removed).unwrap();
    let again = r.take(again).unwrap();
    assert_eq!((again.len(), &again[0]), (4_999, &("new".into(), 1.0)));
    assert!(r.take(none).unwrap().is_empty());
    assert_eq!(r.take(last).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_range_among_writers_answers_no_value_that_never_was() {
    const FIELDS: usize = 6_000;
    let server = Server::start(&[]);
    let (s, mut admin) = (open(&server.url()).await, Admin::of(&server));
    fill(&mut admin, "z", FIELDS, |i| i, true);
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|seed| {
            let (s, over) = (s.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut random = fastrand::Rng::with_seed(seed);
                while !over.load(Relaxed) {
                    let mut batch = s.batch();
                    for _ in 0..50 {
                        let i = random.usize(0..FIELDS);
                        let field = format!("f{i:06}");
                        if random.bool() {
                            batch.zhrem("z", field);
                        } else {
                            batch.zhadd("z", field, format!("v{i:06}"), i as f64);
                        }
                    }
                    batch.exec().await.unwrap();
                }
            })
        })
        .collect();
    for _ in 0..15 {
        for (value, score) in s.zhrange("z").with_scores().await.unwrap() {
            assert_eq!(value, format!("v{:06}", score as usize));
        }
        let mut last = None;
        for (member, _) in s.zrange("z").by_lex(..).with_scores().await.unwrap() {
            assert!(member.starts_with(b"f") && last < Some(member.clone()));
            last = Some(member);
        }
    }
    over.store(true, Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}
