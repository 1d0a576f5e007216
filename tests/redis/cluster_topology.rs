//! The slot map of a cluster: nodes that are removed, hang, or are gone.

use crate::network_faults::scripted;
use crate::support::process::free_port;
use crate::support::redis::{Cluster, Server};
use crate::{assert_kind, pause};
use futures_util::future::join_all;
use keyvaluestore::backend::RedisOptions;
use keyvaluestore::{ErrorKind, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// An answer to `CLUSTER SLOTS`: ranges and the ports of their primaries.
fn slots(ranges: &[(u16, u16, u16)]) -> Vec<u8> {
    let mut answer = format!("*{}\r\n", ranges.len());
    for (first, last, port) in ranges {
        answer += &format!("*3\r\n:{first}\r\n:{last}\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n");
    }
    answer.into_bytes()
}

fn url(ports: &[u16]) -> String {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("redis+cluster://{}", hosts.join(","))
}

/// Such as after `del-node`, or after a restart without `nodes.conf`.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_slots_is_not_believed() {
    let cluster = Cluster::start(3, 0);
    let outside = Server::start(&["--cluster-enabled", "yes", "--databases", "1"]);
    let mut ports = vec![outside.port];
    ports.extend(cluster.nodes.iter().map(|node| node.port));
    // The node that answers first is random.
    for _ in 0..5 {
        let store = Store::open(url(&ports)).await.unwrap();
        for i in 0..30 {
            store.set(format!("k{i}"), i).await.unwrap();
        }
    }
    let opened = Store::open(url(&[outside.port])).await.map(drop);
    let error = assert_kind(opened, ErrorKind::Unavailable);
    assert!(error.to_string().contains("slots"), "{error}");
}

#[tokio::test]
async fn a_map_of_fewer_slots_than_another_node_knows_is_none() {
    for (known, order) in [(0, [0, 1]), (100, [0, 1]), (16_383, [0, 1]), (16_383, [1, 0])] {
        let good = scripted(|name, port| match name {
            "CLUSTER" => slots(&[(0, 16_383, port)]),
            _ => b"$4\r\ngood\r\n".to_vec(),
        });
        let poor = scripted(move |name, port| match name {
            "CLUSTER" if known == 0 => slots(&[]),
            "CLUSTER" => slots(&[(0, known - 1, port)]),
            _ => b"-CLUSTERDOWN Hash slot not served\r\n".to_vec(),
        });
        let ports = [poor.await, good.await];
        let store = Store::open(url(&order.map(|i| ports[i]))).await.unwrap();
        let gets = (0..100).map(|i| store.get(format!("k{i}")));
        assert!(join_all(gets).await.into_iter().all(|value| value.unwrap().unwrap() == "good"));
    }
}

/// A node with all slots loses them to another node, and keeps running without any.
#[tokio::test]
async fn a_node_that_is_taken_out_while_it_is_in_use_is_left() {
    let (out, new) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU16::new(0)));
    let (is_out, successor) = (Arc::clone(&out), Arc::clone(&new));
    let old = scripted(move |name, port| match (name, is_out.load(SeqCst)) {
        ("CLUSTER", false) => slots(&[(0, 16_383, port)]),
        ("CLUSTER", true) => slots(&[]),
        (_, false) => b"$3\r\nold\r\n".to_vec(),
        (_, true) => b"-CLUSTERDOWN Hash slot not served\r\n".to_vec(),
    });
    let old = old.await;
    let is_out = Arc::clone(&out);
    let other = scripted(move |name, port| match (name, is_out.load(SeqCst)) {
        ("CLUSTER", false) => slots(&[(0, 16_383, old)]),
        ("CLUSTER", true) => slots(&[(0, 16_383, port)]),
        _ => b"$3\r\nnew\r\n".to_vec(),
    });
    let other = other.await;
    successor.store(other, SeqCst);
    for ports in [[old, other], [other, old]] {
        out.store(false, SeqCst);
        let store = Store::open(url(&ports)).await.unwrap();
        assert_eq!(store.get("k").await.unwrap().unwrap(), "old");
        out.store(true, SeqCst);
        assert_eq!(store.get("k").await.unwrap().unwrap(), "new");
        let mut batch = store.batch();
        let get = batch.get("k");
        assert_eq!(batch.exec().await.unwrap().take(get).unwrap().unwrap(), "new");
    }
}

/// While the other nodes hang, a node without slots does not replace the map.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_map_serves_until_there_is_a_better_one() {
    let cluster = Cluster::start(2, 0);
    let outside = Server::start(&["--cluster-enabled", "yes", "--databases", "1"]);
    for node in &cluster.nodes {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
        node.command(&["CONFIG", "SET", "cluster-allow-reads-when-down", "yes"]);
    }
    let ports = [outside.port, cluster.nodes[0].port, cluster.nodes[1].port];
    let options = RedisOptions::new().connect_timeout(Duration::from_millis(300));
    let options = options.response_timeout(Duration::from_millis(300));
    let store = Store::new(options.open(url(&ports)).await.unwrap());
    let keys: Vec<String> = (0..30).map(|i| format!("k{i}")).collect();
    for key in &keys {
        store.set(key, "v").await.unwrap();
    }
    cluster.nodes.iter().for_each(|node| node.pause(true));
    for _ in 0..5 {
        for key in &keys {
            let error = store.get(key).await.unwrap_err();
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Timeout | ErrorKind::Unavailable), "{kind:?}");
            let is_named = |node: &Server| error.to_string().contains(&node.address());
            assert!(cluster.nodes.iter().any(is_named), "{error}");
        }
    }
    cluster.nodes.iter().for_each(|node| node.pause(false));
    let start = Instant::now();
    while join_all(keys.iter().map(|key| store.get(key))).await.iter().any(Result::is_err) {
        assert!(start.elapsed() < Duration::from_secs(10), "they are not found again");
        pause(50).await;
    }
}

/// Once, callers of the other nodes waited 2 s of every 4 s, as the frozen node was asked for the
/// map.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_node_does_not_stop_the_callers_of_others() {
    let cluster = Cluster::start(3, 0);
    for node in &cluster.nodes {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let options = RedisOptions::new().response_timeout(Duration::from_secs(1));
    let store = Store::new(options.clone().open(cluster.url()).await.unwrap());
    // `foo` is on the last node, `bar` and `c` on the others.
    for key in ["foo", "bar", "c"] {
        store.set(key, 0).await.unwrap();
    }
    let calls = cluster.nodes.iter().map(|node| node.calls("set")).collect::<Vec<_>>();
    assert_eq!(calls, [1, 1, 1], "the keys are on three nodes");
    cluster.nodes[2].pause(true);
    let over = Instant::now() + Duration::from_secs(6);
    let slowest = Arc::new(AtomicU64::new(0));
    let healthy = (0..4).map(|task| {
        let (store, slowest) = (store.clone(), Arc::clone(&slowest));
        tokio::spawn(async move {
            while Instant::now() < over {
                let before = Instant::now();
                if task % 2 == 0 {
                    store.incr_by("bar", 1).await.unwrap();
                    store.get("c").await.unwrap();
                } else {
                    let mut batch = store.batch();
                    batch.incr_by("bar", 1);
                    batch.get("c");
                    drop(batch.exec().await.unwrap());
                }
                slowest.fetch_max(before.elapsed().as_millis() as u64, SeqCst);
                pause(1).await;
            }
        })
    });
    let frozen = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            while Instant::now() < over {
                let kind = store.get("foo").await.unwrap_err().kind();
                assert!(matches!(kind, ErrorKind::Timeout | ErrorKind::Unavailable), "{kind:?}");
                pause(1).await;
            }
        })
    });
    let tasks: Vec<_> = healthy.chain(frozen).collect();
    // It does not stop `open` either: the first node of the URL is the frozen one.
    let ports = [2, 0, 1].map(|i: usize| cluster.nodes[i].port);
    let before = Instant::now();
    let opened = Store::new(options.open(url(&ports)).await.unwrap());
    opened.get("bar").await.unwrap();
    assert!(before.elapsed() < Duration::from_millis(500), "{:?}", before.elapsed());
    for task in tasks {
        task.await.unwrap();
    }
    cluster.nodes[2].pause(false);
    let slowest = slowest.load(SeqCst);
    assert!(slowest < 500, "{slowest} ms");
}

/// After a failover, a command that the dead node did not receive goes to the new primary in the
/// same call.
#[tokio::test]
async fn what_a_dead_node_has_not_seen_goes_to_its_successor() {
    for batched in [false, true] {
        let (dead, failed_over) = (free_port(), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&failed_over);
        let port = scripted(move |name, port| match (name, is_over.load(SeqCst)) {
            ("CLUSTER", false) => slots(&[(0, 16_383, dead)]),
            ("CLUSTER", true) => slots(&[(0, 16_383, port)]),
            _ => b":7\r\n".to_vec(),
        });
        let store = Store::open(url(&[port.await])).await.unwrap();
        let incr_by = async || {
            if !batched {
                return store.incr_by("n", 1).await;
            }
            let mut batch = store.batch();
            let n = batch.incr_by("n", 1);
            batch.exec_each().await.take(n)
        };
        let error = assert_kind(incr_by().await, ErrorKind::Unavailable);
        assert!(!error.outcome_is_unknown());
        failed_over.store(true, SeqCst);
        pause(60).await; // the longest backoff after a refresh that has changed nothing
        assert_eq!(incr_by().await.unwrap(), 7, "batched: {batched}");
    }
}
