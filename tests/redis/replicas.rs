//! Replicas: opened as a primary by mistake, and opened for eventual reads.

use crate::support::redis::Server;
use crate::{Admin, CALLS, assert_kind, open, pause};
use keyvaluestore::{ErrorKind, Store};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A replica in sync with its primary.
async fn replica_of(primary: &Server) -> Server {
    let port = primary.port.to_string();
    let delay = ["--repl-diskless-sync-delay", "0"];
    let replica = Server::start(&[&["--replicaof", "127.0.0.1", &port][..], &delay].concat());
    in_sync(primary, &replica).await;
    replica
}

async fn in_sync(primary: &Server, replica: &Server) {
    let (mut primary, mut replica) = (Admin::of(primary), Admin::of(replica));
    for _ in 0..1_000 {
        let up = replica.run::<String>(&["INFO", "replication"]).contains("link_status:up");
        if up && primary.digest() == replica.digest() {
            return;
        }
        pause(10).await;
    }
    panic!("the replica does not follow");
}

/// Compares two texts without the order of their letters, as sets have no order.
#[track_caller]
fn assert_same(a: &str, b: &str, what: &str) {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    assert_eq!(sorted(a), sorted(b), "{what}: {a} {b}");
}

async fn fill(store: &Store) {
    for call in CALLS {
        (call.run)(store.clone(), call.kind).await.unwrap();
    }
    // So that each removal has something to remove.
    store.set("text", "v").await.unwrap();
    store.sadd("set", ["b"]).await.unwrap();
    store.hset("hash", [("g", "v")]).await.unwrap();
    store.hdel("hash", ["h"]).await.unwrap();
    store.zhadd("sorted", "g", "v", 0.0).await.unwrap();
    store.zadd("sorted", "b", 0.0).await.unwrap();
}

#[tokio::test]
async fn a_replica_opened_as_a_primary_reads_and_refuses_writes() {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]);
    fill(&open(&primary.url()).await).await;
    let replica = replica_of(&primary).await;
    let (store, mut admin) = (open(&replica.url()).await, Admin::of(&replica));
    let before = admin.digest();
    for call in CALLS {
        let result = (call.run)(store.clone(), call.kind).await;
        match &result {
            // The condition does not hold, or there is nothing to do.
            Ok(reply) if reply == "false" => {}
            Ok(_) => assert!(!call.writes, "{}", call.name),
            Err(_) => {
                let error = assert_kind(result, ErrorKind::Unavailable);
                assert!(call.writes && !error.outcome_is_unknown(), "{}: {error:?}", call.name);
                assert!(error.to_string().contains("replica"), "{error}");
            }
        }
    }
    let mut w = store.atomic_write();
    w.srem("set", ["a"]);
    w.set("text", "new");
    assert_kind(w.exec().await, ErrorKind::Unavailable);
    let mut b = store.batch();
    let (get, set) = (b.get("text"), b.set("text", "new"));
    let mut r = b.exec_each().await;
    assert_eq!(r.take(get).unwrap().unwrap(), "v");
    assert_kind(r.take(set), ErrorKind::Unavailable);
    assert_eq!(admin.digest(), before);
}

#[tokio::test]
async fn eventual_reads_and_only_they_go_to_the_replica_while_there_is_one() {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]);
    let mut replica = replica_of(&primary).await;
    let url = format!("{}?replica={}", primary.url(), replica.address());
    let strong = Store::open(url).await.unwrap();
    let eventual = strong.eventually_consistent();
    fill(&strong).await;
    in_sync(&primary, &replica).await;
    let (mut at_primary, mut at_replica) = (Admin::of(&primary), Admin::of(&replica));
    let reads = || CALLS.iter().filter(|call| !call.writes);
    let counted = ["get", "mget", "smembers", "hget", "zrange", "eval", "evalsha"];
    let count = |admin: &mut Admin| counted.map(|command| admin.calls_of(command));

    let before = count(&mut at_primary);
    for call in reads() {
        let by_replica = (call.run)(eventual.clone(), call.kind).await.unwrap();
        let by_primary = (call.run)(open(&primary.url()).await, call.kind).await.unwrap();
        assert_same(&by_replica, &by_primary, call.name);
    }
    let after = count(&mut at_primary);
    // Those that this test sent to the primary.
    let seen: u64 = after.iter().sum::<u64>() - before.iter().sum::<u64>();
    let total = count(&mut at_replica);
    assert!(total.iter().sum::<u64>() >= seen, "{total:?}");
    let mut b = eventual.batch();
    let _ = (b.get("text"), b.get("text"));
    b.exec().await.unwrap();
    assert_eq!(at_primary.calls_of("mget"), 0);
    assert_eq!(at_replica.calls_of("mget"), 1);

    // The replica must not answer any of these.
    let before = count(&mut at_replica);
    for call in CALLS {
        (call.run)(strong.clone(), call.kind).await.unwrap();
        if call.writes {
            (call.run)(eventual.clone(), call.kind).await.unwrap();
        }
    }
    let mut b = eventual.batch();
    b.set("text", "new");
    let get = b.get("text");
    assert_eq!(b.exec().await.unwrap().take(get).unwrap().unwrap(), "new");
    in_sync(&primary, &replica).await;
    let scripts = |counts: [u64; 7]| [&counts[..4], &counts[4..]].concat();
    assert_eq!(scripts(count(&mut at_replica)), scripts(before));

    replica.kill();
    for call in reads() {
        let reply = (call.run)(eventual.clone(), call.kind).await.unwrap();
        let by_primary = (call.run)(strong.clone(), call.kind).await.unwrap();
        assert_same(&reply, &by_primary, call.name);
    }
    replica.restart();
    in_sync(&primary, &replica).await;
    // It reconnects in the background; until then the primary answers the reads.
    let start = Instant::now();
    while Admin::of(&replica).calls_of("get") == 0 {
        assert_eq!(eventual.get("text").await.unwrap().unwrap(), "new");
        assert!(start.elapsed() < Duration::from_secs(5), "it is asked again when it is back");
        pause(10).await;
    }
}

/// The kernel accepts a connection to a stopped server, which then never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_hangs_makes_no_reader_wait_twice() {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]);
    let replica = replica_of(&primary).await;
    let url = format!("{}?replica={}&response_timeout=300ms", primary.url(), replica.address());
    let eventual = Store::open(url).await.unwrap().eventually_consistent();
    eventual.set("k", "v").await.unwrap();
    in_sync(&primary, &replica).await;
    eventual.get("k").await.unwrap();
    assert_eq!(Admin::of(&replica).calls_of("get"), 1);
    replica.pause(true);
    assert_eq!(eventual.get("k").await.unwrap().unwrap(), "v");
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    while start.elapsed() < Duration::from_secs(4) {
        let before = Instant::now();
        assert_eq!(eventual.get("k").await.unwrap().unwrap(), "v");
        slowest = slowest.max(before.elapsed());
        pause(5).await;
    }
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
    replica.pause(false);
    let start = Instant::now();
    while Admin::of(&replica).calls_of("get") < 2 {
        eventual.get("k").await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(10), "it is asked again when it answers");
        pause(10).await;
    }
}

#[tokio::test]
async fn a_replica_that_has_lost_its_primary_and_says_so_is_passed_over() {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]);
    let replica = replica_of(&primary).await;
    let url = format!("{}?replica={}", primary.url(), replica.address());
    let eventual = Store::open(url).await.unwrap().eventually_consistent();
    eventual.set("k", "v").await.unwrap();
    in_sync(&primary, &replica).await;
    let mut admin = Admin::of(&replica);
    admin.done(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    admin.done(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(eventual.get("k").await.unwrap().unwrap(), "v");
    assert_eq!(eventual.zhget("z", "f").await.unwrap(), None);
    let mut b = eventual.batch();
    let get = b.get("k");
    assert_eq!(b.exec().await.unwrap().take(get).unwrap().unwrap(), "v");
}

/// A proxy or a host name leads to the promoted replica, and the old primary is a replica now.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_has_become_a_replica_is_left() {
    let (old, new) = (Server::start(&[]), Server::start(&[]));
    let target = Arc::new(Mutex::new(old.address()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let leads_to = Arc::clone(&target);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let to = leads_to.lock().unwrap().clone();
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let store = Store::open(&url).await.unwrap();
    store.set("k", "old").await.unwrap();
    *target.lock().unwrap() = new.address();
    old.command(&["REPLICAOF", "127.0.0.1", &new.port.to_string()]);
    let start = Instant::now();
    let mut refused = 0;
    // Before Redis 7 the error of a command in a script is within another error.
    while let Err(error) = store.zadd("z", "new", 1.0).await {
        assert_eq!((error.kind(), error.outcome_is_unknown()), (ErrorKind::Unavailable, false));
        assert!(start.elapsed() < Duration::from_secs(10), "it stays with the old one");
        refused += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refused > 0);
    let new = open(&format!("redis://{}/", new.address())).await;
    assert_eq!(new.zscore("z", "new").await.unwrap(), Some(1.0));
}
