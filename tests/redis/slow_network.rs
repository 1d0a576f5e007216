//! Slow networks: large calls succeed while they make progress, and do not block other callers.

use crate::support::redis::{Cluster, Server};
use crate::{Admin, assert_kind, pause};
use keyvaluestore::backend::RedisOptions;
use keyvaluestore::{ErrorKind, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The bytes per second of the proxy, and the response timeout. The batches below take longer.
const RATE: usize = 12 << 20;
const TIMEOUT: Duration = Duration::from_secs(2);

const VALUES: usize = 300;
const LENGTH: usize = 100_000;

/// A proxy in front of a server that forwards `RATE` bytes per second in each direction. Returns
/// its URL.
async fn slow(server: &Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, to) = (format!("redis://{}/", listener.local_addr().unwrap()), server.address());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&to).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(throttled(from_client, to_server));
            tokio::spawn(throttled(from_server, to_client));
        }
    });
    url
}

async fn throttled(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) {
    let mut buffer = vec![0; RATE / 100];
    let mut free = Instant::now();
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
        // Idle time is not made up for later.
        free = free.max(Instant::now()) + Duration::from_secs(1) * n as u32 / RATE as u32;
        tokio::time::sleep_until((free - Duration::from_millis(5)).into()).await;
    }
}

async fn open(server: &Server) -> Store {
    let options = RedisOptions::new().response_timeout(TIMEOUT);
    Store::new(options.open(slow(server).await).await.unwrap())
}

fn value(i: usize) -> Vec<u8> {
    vec![i as u8; LENGTH]
}

/// Increments until `over` is true, and returns the longest time that one took.
fn neighbour(store: &Store, over: &Arc<AtomicBool>) -> tokio::task::JoinHandle<Duration> {
    let (store, over) = (store.clone(), Arc::clone(over));
    tokio::spawn(async move {
        let mut worst = Duration::ZERO;
        while !over.load(Relaxed) {
            let start = Instant::now();
            store.incr_by("neighbour", 1).await.expect("calls are sent between the pieces");
            worst = worst.max(start.elapsed());
            pause(1).await;
        }
        worst
    })
}

/// Once 2,000 `set`s of 100 KB over 100 Mbit/s were 2,000 timeouts, and so was a neighbour's
/// `incr_by`; as many `get`s never succeeded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_batch_over_a_slow_link_succeeds_and_lets_others_through() {
    let server = Server::start(&[]);
    let store = open(&server).await;
    let over = Arc::new(AtomicBool::new(false));
    let neighbour = neighbour(&store, &over);
    let start = Instant::now();
    let mut batch = store.batch();
    for i in 0..VALUES {
        batch.set(format!("k{i}"), value(i));
    }
    batch.exec().await.unwrap();
    assert!(start.elapsed() > TIMEOUT, "the link is not slow: {:?}", start.elapsed());

    let mut batch = store.batch();
    let gets: Vec<_> = (0..VALUES).map(|i| batch.get(format!("k{i}"))).collect();
    let start = Instant::now();
    let mut replies = batch.exec().await.unwrap();
    assert!(start.elapsed() > TIMEOUT, "the link is not slow: {:?}", start.elapsed());
    for (i, get) in gets.into_iter().enumerate() {
        assert_eq!(replies.take(get).unwrap().unwrap(), value(i));
    }
    over.store(true, Relaxed);
    let worst = neighbour.await.unwrap();
    assert!(worst < TIMEOUT, "{worst:?}");
}

/// A range of few entries can be as large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_of_large_values_over_a_slow_link_comes_in_pieces() {
    let server = Server::start(&[]);
    let (store, direct) = (open(&server).await, crate::open(&server.url()).await);
    let mut batch = direct.batch();
    for i in 0..VALUES {
        batch.zhadd("z", format!("f{i:04}"), value(i), i as f64);
    }
    batch.zadd("z", "plain", VALUES as f64);
    batch.exec().await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let neighbour = neighbour(&store, &over);
    let all = store.zhrange("z").limit(900).await.unwrap();
    let mut batch = store.batch();
    let (queued, get) = (batch.zhrange("z").with_scores().queue(), batch.zhget("z", "f0001"));
    let mut replies = batch.exec().await.unwrap();
    let scored = replies.take(queued).unwrap();
    assert_eq!(replies.take(get).unwrap().unwrap(), value(1));
    assert_eq!((all.len(), scored.len()), (VALUES + 1, VALUES + 1));
    for (i, (in_range, (in_batch, score))) in all.iter().zip(&scored).enumerate() {
        let value = if i < VALUES { value(i) } else { b"plain".to_vec() };
        assert_eq!((&in_range[..], score), (&value[..], &(i as f64)));
        assert_eq!(in_range, in_batch);
    }
    over.store(true, Relaxed);
    let worst = neighbour.await.unwrap();
    assert!(worst < TIMEOUT, "{worst:?}");
}

/// The timeout of one piece ends the whole batch.
#[tokio::test]
async fn a_large_batch_to_a_server_that_hangs_is_one_timeout() {
    let server = Server::start(&[]);
    let timeout = Duration::from_millis(300);
    let options = RedisOptions::new().response_timeout(timeout).connect_timeout(timeout);
    let store = Store::new(options.open(server.url()).await.unwrap());
    let mut batch = store.batch();
    let sets: Vec<_> = (0..400).map(|i| batch.set(format!("k{i}"), value(i))).collect();
    server.pause(true);
    let start = Instant::now();
    let mut replies = batch.exec_each().await;
    let took = start.elapsed();
    assert!(took < Duration::from_millis(900), "{took:?}");
    let mut unknown = 0;
    for set in sets {
        let error = assert_kind(replies.take(set), ErrorKind::Timeout);
        unknown += usize::from(error.outcome_is_unknown());
    }
    // Writes that were not sent are known not to be applied.
    assert!((1..200).contains(&unknown), "{unknown}");
    server.pause(false);
    pause(100).await;
    assert!(Admin::of(&server).run::<usize>(&["DBSIZE"]) <= unknown);
}

/// The reads of a pipeline depend on the size of the last replies.
#[tokio::test]
async fn small_values_are_read_in_few_trips_and_large_ones_in_many() {
    let server = Server::start(&[]);
    let (store, mut admin) = (crate::open(&server.url()).await, Admin::of(&server));
    let mut batch = store.batch();
    for i in 0..5_000 {
        batch.set(format!("small{i}"), i);
    }
    for i in 0..500 {
        batch.set(format!("large{i}"), value(i));
    }
    batch.exec().await.unwrap();
    for (name, count, most, least) in
        [("small", 128, 1, 1), ("small", 5_000, 7, 3), ("large", 500, 20, 9)]
    {
        let before = admin.calls_of("mget");
        let mut batch = store.batch();
        let gets: Vec<_> = (0..count).map(|i| batch.get(format!("{name}{i}"))).collect();
        let mut replies = batch.exec().await.unwrap();
        assert!(gets.into_iter().all(|get| replies.take(get).unwrap().is_some()));
        let calls = admin.calls_of("mget") - before;
        assert!((least..=most).contains(&calls), "{count} {name}: {calls}");
    }
}

#[tokio::test]
async fn a_large_batch_to_a_cluster_reaches_the_servers_that_answer() {
    let cluster = Cluster::start(3, 0);
    let timeout = Duration::from_millis(300);
    let options = RedisOptions::new().response_timeout(timeout).connect_timeout(timeout);
    let store = Store::new(options.open(cluster.url()).await.unwrap());
    let mut batch = store.batch();
    let sets: Vec<_> = (0..400).map(|i| batch.set(format!("k{i}"), value(i))).collect();
    cluster.nodes[2].pause(true);
    let start = Instant::now();
    let mut replies = batch.exec_each().await;
    // Ten pipelines of 4 MiB. Each failure doubles the next one, so five are enough.
    let took = start.elapsed();
    assert!(took < 6 * timeout + Duration::from_secs(1), "{took:?}");
    let applied = sets.into_iter().map(|set| replies.take(set)).filter(Result::is_ok).count();
    assert!((200..340).contains(&applied), "{applied}");
    cluster.nodes[2].pause(false);
}
