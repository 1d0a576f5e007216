//! The round trips and commands of each call, counted by the server.

use crate::support::redis::Server;
use crate::{Admin, CALLS, figure, open};
use futures_util::future::join_all;
use keyvaluestore::{Outcome, Result, Store};

/// Counters of the server: reads from and writes to clients, and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    reads: u64,
    writes: u64,
    commands: u64,
    connections: u64,
    bytes: u64,
}

fn now(admin: &mut Admin) -> Cost {
    let text: String = admin.run(&["INFO", "stats"]);
    Cost {
        reads: figure(&text, "total_reads_processed"),
        writes: figure(&text, "total_writes_processed"),
        commands: figure(&text, "total_commands_processed"),
        connections: figure(&text, "total_connections_received"),
        bytes: figure(&text, "total_net_input_bytes"),
    }
}

/// The cost of `call`, without that of `INFO`.
async fn cost(admin: &mut Admin, call: impl Future<Output = ()>) -> Cost {
    let a = now(admin);
    let b = now(admin);
    call.await;
    let c = now(admin);
    Cost {
        reads: c.reads + a.reads - 2 * b.reads,
        writes: c.writes + a.writes - 2 * b.writes,
        commands: c.commands + a.commands - 2 * b.commands,
        connections: c.connections + a.connections - 2 * b.connections,
        bytes: c.bytes + a.bytes - 2 * b.bytes,
    }
}

#[tokio::test]
async fn every_operation_is_one_round_trip() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    for call in CALLS {
        (call.run)(store.clone(), call.kind).await.unwrap();
    }
    for call in CALLS {
        let used = cost(&mut admin, async {
            (call.run)(store.clone(), call.kind).await.unwrap();
        });
        let used = used.await;
        assert_eq!((used.reads, used.writes, used.connections), (1, 1, 0), "{}", call.name);
        assert!(used.commands >= 1, "{}", call.name);
    }
}

#[tokio::test]
async fn what_has_nothing_to_do_is_not_sent() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    let used = cost(&mut admin, async {
        store.sadd("k", [""; 0]).await.unwrap();
        store.srem("k", [""; 0]).await.unwrap();
        store.hset("k", [("", ""); 0]).await.unwrap();
        store.hdel("k", [""; 0]).await.unwrap();
        store.batch().exec().await.unwrap();
        assert!(store.atomic_write().exec().await.unwrap().is_committed());
    });
    assert_eq!(used.await.reads, 0);
}

async fn mixed_batch(s: &Store) -> Result<()> {
    let mut b = s.batch();
    for i in 0..5 {
        b.get("text");
        b.set("text", i);
        b.set_nx("text", i);
        b.set_xx("text", i);
        b.set_eq("text", i, i);
        b.incr_by("number", 1);
        b.sadd("set", [i]);
        b.smembers("set");
        b.hset("hash", [("f", i)]);
        b.hget("hash", "f");
        b.hgetall("hash");
        b.zadd("sorted", i, 1.0);
        b.zscore("sorted", i);
        b.zcount("sorted", ..);
        b.zrange("sorted").with_scores().queue();
        b.zhadd("sorted", "f", i, 2.0);
        b.zhget("sorted", "f");
        // Without a limit, the later write would have to wait for it.
        b.zhrange("sorted").limit(1_000).queue();
        b.zincr_by("sorted", "f", 1.0);
        b.delete("text");
    }
    assert_eq!(b.len(), 100);
    b.exec().await.map(drop)
}

#[tokio::test]
async fn a_batch_is_one_round_trip() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    mixed_batch(&store).await.unwrap();
    let used = cost(&mut admin, async { mixed_batch(&store).await.unwrap() }).await;
    // The server reads at most 16 KiB at a time.
    let most = 1 + used.bytes / 16_384;
    assert!(used.bytes < 64 * 1_024, "{used:?}");
    assert!((1..=most).contains(&used.reads) && (1..=most).contains(&used.writes), "{used:?}");
    assert_eq!(used.connections, 0);

    let used = cost(&mut admin, async {
        let mut b = store.batch();
        for i in 0..100 {
            b.set(format!("k{i}"), i);
            b.sadd(format!("s{i}"), [i]);
        }
        b.exec().await.unwrap();
    });
    let used = used.await;
    assert_eq!((used.reads, used.writes, used.commands), (1, 1, 200), "{used:?}");
}

#[tokio::test]
async fn neighbouring_reads_of_a_batch_are_one_command() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    let used = cost(&mut admin, async {
        let mut b = store.batch();
        for i in 0..100 {
            b.get(format!("k{i}"));
        }
        b.set("k", "v");
        for i in 0..10 {
            b.hget("hash", i);
        }
        for i in 0..10 {
            b.zscore("sorted", i);
        }
        b.exec().await.unwrap();
    });
    let used = used.await;
    assert_eq!((used.reads, used.writes), (1, 1), "{used:?}");
    let counts = ["mget", "get", "hmget", "hget", "zmscore", "zscore", "set"];
    let counts = counts.map(|command| admin.calls_of(command));
    assert_eq!(counts, [1, 0, 1, 0, 1, 0, 1]);
}

async fn atomic(s: &Store) -> Result<Outcome> {
    let mut w = s.atomic_write();
    w.set("a", "1");
    w.set_nx("nx", "1");
    w.delete("nx2");
    w.incr_by("number", 1);
    w.sadd("set", ["a"]);
    w.srem("set2", ["a"]);
    w.hset("hash", [("f", "v")]);
    w.hset_nx("hash2", "f", "v");
    w.hdel("hash3", ["f"]);
    w.zadd("sorted", "m", 1.0);
    w.zhadd("sorted", "f", "v", 1.0);
    w.zrem("sorted", "x");
    w.zincr_by("sorted", "y", 1.0);
    w.exec().await
}

#[tokio::test]
async fn an_atomic_write_is_one_round_trip_whether_or_not_it_is_applied() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    for applied in [true, false, false] {
        let used = cost(&mut admin, async {
            assert_eq!(atomic(&store).await.unwrap().is_committed(), applied);
        });
        let used = used.await;
        // The first is resent with the script's source.
        let trips = if applied { 2 } else { 1 };
        assert_eq!((used.reads, used.writes, used.connections), (trips, trips, 0), "{used:?}");
        if !applied {
            assert!(used.bytes < 1_200, "the script's source is sent once: {used:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_callers_share_one_connection() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    let used = cost(&mut admin, async {
        let tasks = (0..64).map(|i| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    store.incr_by(format!("k{i}"), 1).await.unwrap();
                    mixed_batch(&store).await.unwrap();
                    let _ = atomic(&store).await.unwrap();
                }
            })
        });
        join_all(tasks).await.into_iter().for_each(Result::unwrap);
    });
    let used = used.await;
    assert_eq!(used.connections, 0);
    assert!(used.commands > 64 * 20 * 100, "{used:?}");
    assert_eq!(store.get("k63").await.unwrap().unwrap(), "20");
}
