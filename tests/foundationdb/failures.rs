//! A server that is killed, paused or unreachable.

use super::support::foundationdb::Cluster;
use keyvaluestore::{ErrorKind, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// The increments of a writer: successful ones, and those with an unknown outcome.
#[derive(Debug, Default)]
struct Increments {
    done: i64,
    unknown: i64,
    /// Successful ones since the last restart of the server.
    after: u32,
}

async fn count(store: Store, key: String, back: Arc<AtomicBool>) -> Increments {
    let mut increments = Increments::default();
    while increments.after < 5 {
        let is_back = back.load(SeqCst);
        match store.incr_by(&key, 1).await {
            Ok(n) => {
                increments.done += 1;
                assert!(
                    (increments.done..=increments.done + increments.unknown).contains(&n),
                    "{n}: {increments:?}"
                );
                increments.after += u32::from(is_back);
            }
            Err(e) => {
                assert!(matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{e:?}");
                increments.unknown += i64::from(e.outcome_is_unknown());
            }
        }
    }
    increments
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_kill_and_nothing_is_applied_twice() {
    let mut cluster = Cluster::start();
    let store = Store::open(&cluster.url("timeout=20s")).await.unwrap();
    let back = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..16)
        .map(|i| tokio::spawn(count(store.clone(), format!("k{i}"), back.clone())))
        .collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.kill();
        tokio::time::sleep(Duration::from_millis(200)).await;
        cluster.restart();
    }
    back.store(true, SeqCst);
    let mut unknown = 0;
    for (i, writer) in writers.into_iter().enumerate() {
        let increments = writer.await.unwrap();
        let n: i64 = store.get(format!("k{i}")).await.unwrap().unwrap().to().unwrap();
        assert!(
            (increments.done..=increments.done + increments.unknown).contains(&n),
            "{n}: {increments:?}"
        );
        unknown += increments.unknown;
    }
    println!("{unknown} calls ended without knowing");
}

#[tokio::test]
async fn a_paused_server_is_a_timeout_and_not_a_hang() {
    let cluster = Cluster::start();
    let store = Store::open(&cluster.url("timeout=1s")).await.unwrap();
    store.set("k", "v").await.unwrap();
    cluster.pause(true);
    let start = Instant::now();
    let read = store.get("k").await.unwrap_err();
    assert_eq!((read.kind(), read.outcome_is_unknown()), (ErrorKind::Timeout, false), "{read:?}");
    let write = store.set("k", "new").await.unwrap_err();
    assert_eq!((write.kind(), write.outcome_is_unknown()), (ErrorKind::Timeout, true), "{write:?}");
    let elapsed = start.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(5)).contains(&elapsed), "{elapsed:?}");
    cluster.pause(false);
    // The client reconnects by itself.
    let start = Instant::now();
    while let Err(e) = store.set("k", "last").await {
        assert!(start.elapsed() < Duration::from_secs(30), "{e:?}");
    }
    assert_eq!(store.get("k").await.unwrap().unwrap(), "last");
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_an_error_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("foundationdb:{}?timeout=1s", dir.path().join(name).display());
    let port = super::support::process::free_port();
    std::fs::write(dir.path().join("unreachable"), format!("a:b@127.0.0.1:{port}\n")).unwrap();
    std::fs::write(dir.path().join("nonsense"), "this is no cluster file\n").unwrap();
    for (name, kind) in [
        ("unreachable", ErrorKind::Timeout),
        ("missing", ErrorKind::InvalidArgument),
        ("nonsense", ErrorKind::InvalidArgument),
    ] {
        let start = Instant::now();
        let result = async { Store::open(&url(name)).await?.get("k").await }.await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error:?}");
        assert!(start.elapsed() < Duration::from_secs(4), "{name}");
    }
}
