//! Serves the metrics of a store to Prometheus.
//!
//! ```sh
//! cargo run --release --features cache,metrics --example metrics &
//! curl http://127.0.0.1:9464/metrics
//! ```
//!
//! The example calls a store in a file behind a cache all the time, and serves its metrics.
//! `--once` prints the metrics after 200 calls and exits.

use keyvaluestore::wrap::{Cache, CacheOptions, Metrics};
use keyvaluestore::{Embedded, Result, Store};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

type Stack = Cache<Metrics<Embedded>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Before `Metrics::new` and the first call: earlier metrics are lost.
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

/// Writes and reads 13 keys, one write to nine reads.
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

/// The page that Prometheus reads: the metrics, and the current statistics of the cache.
fn page(recorder: &PrometheusHandle, cache: &Stack) -> String {
    let stats = cache.stats();
    metrics::counter!("keyvaluestore.cache.hits").absolute(stats.hits);
    metrics::counter!("keyvaluestore.cache.misses").absolute(stats.misses);
    metrics::counter!("keyvaluestore.cache.evictions").absolute(stats.evictions);
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
        // A client that disconnects early must not stop the server.
        let mut request = [0; 1_024];
        let _ = client.read(&mut request).await;
        let answer = format!("{head}Content-Length: {}\r\n\r\n{page}", page.len());
        let _ = client.write_all(answer.as_bytes()).await;
    }
}
