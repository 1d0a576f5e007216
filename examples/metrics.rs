//! Serves the metrics of a store to Prometheus.
//!
//! ```sh
//! cargo run --release --features cache,metrics --example metrics &
//! curl http://127.0.0.1:9464/metrics
//! ```
//!
//! A store in a file behind a cache is kept busy, and whoever connects is told. `--once` prints
//! what would be told, and ends.

use keyvaluestore::wrap::{Cache, CacheOptions, Metrics};
use keyvaluestore::{Embedded, Result, Store};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

type Stack = Cache<Metrics<Embedded>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Before the first call: what is counted earlier is counted nowhere.
    let recorder = PrometheusBuilder::new().install_recorder()?;
    let dir = std::env::temp_dir().join(format!("kvs-metrics-{}", std::process::id()));
    let file = Metrics::new(Embedded::open(&dir).await?, "file");
    let cache = Cache::shared(file, CacheOptions::max_replies(10_000));
    let store = Store::with_backend(Metrics::new(cache.clone(), "store"));
    if std::env::args().any(|arg| arg == "--once") {
        work(&store, 200).await?;
        println!("{}", page(&recorder, &cache));
    } else {
        serve(store, cache, recorder).await?;
    }
    Ok(std::fs::remove_file(dir)?)
}

/// One write to nine reads, of few keys.
async fn work(store: &Store<Metrics<Stack>>, calls: u32) -> Result<()> {
    for i in 0..calls {
        let key = format!("visits:{}", i * 7 % 13);
        match i % 10 {
            0 => drop(store.incr_by(key, 1).await?),
            _ => drop(store.get(key).await?),
        }
    }
    Ok(())
}

/// What Prometheus reads: the metrics, and the counts of the cache, which are asked for when they
/// are wanted.
fn page(recorder: &PrometheusHandle, cache: &Stack) -> String {
    let counts = cache.stats();
    metrics::counter!("keyvaluestore.cache.hits").absolute(counts.hits);
    metrics::counter!("keyvaluestore.cache.misses").absolute(counts.misses);
    metrics::counter!("keyvaluestore.cache.evictions").absolute(counts.evictions);
    recorder.render()
}

async fn serve(
    store: Store<Metrics<Stack>>,
    cache: Stack,
    recorder: PrometheusHandle,
) -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:9464").await?;
    println!("http://127.0.0.1:9464/metrics");
    tokio::spawn(async move {
        while work(&store, 100).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    loop {
        let (mut client, _) = listener.accept().await?;
        let page = page(&recorder, &cache);
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
        // One who hangs up early is no reason to stop.
        let mut request = [0; 1_024];
        let _ = client.read(&mut request).await;
        let answer = format!("{head}Content-Length: {}\r\n\r\n{page}", page.len());
        let _ = client.write_all(answer.as_bytes()).await;
    }
}
