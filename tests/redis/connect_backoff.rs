//! Backoff between attempts to connect.

use crate::support::redis::Server;
use crate::{Admin, assert_kind, open, pause};
use keyvaluestore::ErrorKind;
use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// A proxy in front of a server. It can be closed, and records when it was connected to.
struct Gate {
    url: String,
    open: Arc<AtomicBool>,
    accepted: Arc<Mutex<Vec<Instant>>>,
}

async fn gate(server: &Server) -> Gate {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let (open, accepted) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
    let gate = Gate { url, open: Arc::clone(&open), accepted: Arc::clone(&accepted) };
    let to = server.address();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            accepted.lock().unwrap().push(Instant::now());
            if open.load(SeqCst) {
                let mut server = TcpStream::connect(&to).await.unwrap();
                tokio::spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        }
    });
    gate
}

/// Once there was no backoff: a thousand attempts per second from one client.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_back_off_and_callers_meanwhile_fail_at_once() {
    let server = Server::start(&[]);
    let gate = gate(&server).await;
    let (store, mut admin) = (open(&gate.url).await, Admin::of(&server));
    store.set("k", "v").await.unwrap();
    gate.accepted.lock().unwrap().clear();
    gate.open.store(false, SeqCst);
    admin.done(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    pause(50).await;
    let start = Instant::now();
    let (mut at_once, mut slowest) = (0, Duration::ZERO);
    while start.elapsed() < Duration::from_secs(3) {
        let before = Instant::now();
        let mut batch = store.batch();
        let of_batch = batch.incr_by("n", 1);
        let (write, mut replies) = tokio::join!(store.incr_by("n", 1), batch.exec_each());
        slowest = slowest.max(before.elapsed());
        for result in [write, replies.take(of_batch)] {
            let error = assert_kind(result, ErrorKind::Unavailable);
            assert!(error.is_retryable() && !error.outcome_is_unknown(), "{error:?}");
            if error.to_string().contains("the next attempt") {
                let cause = error.source().unwrap().to_string();
                assert!(cause.contains("closed the connection"), "{cause}");
                at_once += 1;
            }
        }
        pause(2).await;
    }
    let attempts = gate.accepted.lock().unwrap().clone();
    // Delays of at least 25, 50, 100, 200, 400, 500, 500 … ms, and of at most twice that.
    assert!((5..=10).contains(&attempts.len()), "{} attempts", attempts.len());
    assert!(attempts[0] - start < Duration::from_millis(40), "the first attempt is immediate");
    for (i, pair) in attempts.windows(2).enumerate() {
        let gap = (pair[1] - pair[0]).as_millis();
        let most = (50 << i).min(1_000);
        assert!(gap + 5 >= most / 2, "{i}: {gap} ms");
        assert!(gap <= most + 200, "{i}: {gap} ms");
    }
    assert!(at_once > 200, "{at_once}");
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
    gate.open.store(true, SeqCst);
    let start = Instant::now();
    while let Err(error) = store.set("k", "v").await {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(start.elapsed() < Duration::from_millis(1_500), "{error:?}");
        pause(10).await;
    }
    // The successful attempt has reset the backoff.
    for _ in 0..3 {
        admin.done(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        pause(50).await;
        store.set("k", "v").await.unwrap();
    }
    assert_eq!(store.get("n").await.unwrap(), None);
}
