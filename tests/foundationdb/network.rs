//! The network thread: many stores, many runtimes, and a clean exit of the process.

use super::support::foundationdb::{Cluster, subspace};
use keyvaluestore::Store;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

#[test]
fn stores_in_many_runtimes_share_the_network() {
    let url = subspace();
    let threads: Vec<_> = (0..6)
        .map(|i| {
            let url = format!("{url}/{i}");
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let store = runtime.block_on(async {
                    let store = Store::open(&url).await.unwrap();
                    store.set("k", i).await.unwrap();
                    store
                });
                drop(runtime);
                store
            })
        })
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (i, thread) in threads.into_iter().enumerate() {
        // Opened in another runtime, which has been dropped.
        let store = thread.join().unwrap();
        assert_eq!(runtime.block_on(store.get("k")).unwrap().unwrap(), i.to_string());
    }
}

#[test]
fn no_runtime_is_needed() {
    let url = subspace();
    let value = block_on(async {
        let store = Store::open(&url).await?;
        store.set("k", "v").await?;
        store.get("k").await
    });
    assert_eq!(value.unwrap().unwrap(), "v");
}

/// A minimal executor.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Thread(std::thread::Thread);
    impl std::task::Wake for Thread {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Thread(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// Runs a test of this binary in a child process, with these environment variables.
fn child(test: &str, url: &str, environment: &[(&str, &str)]) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env("KVS_TEST_URL", url)
        .envs(environment.iter().copied())
        .spawn()
        .unwrap();
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the process hangs instead of ending");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_process_ends_while_calls_are_pending() {
    let cluster = Cluster::start();
    for code in 0..4 {
        let url = cluster.url(&format!("subspace={code}"));
        // The server is paused, so all calls are pending.
        cluster.pause(code % 2 == 1);
        let status = child("network::ends_while_calls_are_pending", &url, &[]);
        cluster.pause(false);
        assert_eq!(status.code(), Some(40), "{status:?}");
    }
}

#[test]
#[ignore = "is run by a_process_ends_while_calls_are_pending, in a process of its own"]
fn ends_while_calls_are_pending() {
    let url = std::env::var("KVS_TEST_URL").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(Store::open(&url)).unwrap();
    for i in 0..100 {
        let store = store.clone();
        runtime.spawn(async move {
            loop {
                let _ = store.incr_by(format!("k{}", i % 7), 1).await;
            }
        });
    }
    std::thread::sleep(Duration::from_millis(500));
    std::process::exit(40); // with the runtime and its calls alive
}

/// The multi-version client asks the cluster for its version first. The first open of a process
/// used to wait for that without a timeout.
#[test]
fn a_cluster_that_is_not_there_is_opened_in_time_by_any_client() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("unreachable");
    let port = super::support::process::free_port();
    std::fs::write(&file, format!("a:b@127.0.0.1:{port}\n")).unwrap();
    let url = format!("foundationdb:{}?timeout=1s", file.display());
    let any = [("FDB_NETWORK_OPTION_DISABLE_CLIENT_BYPASS", "")];
    let status = child("network::is_opened_in_time", &url, &any);
    assert!(status.success(), "{status:?}");
}

#[test]
#[ignore = "is run by a_cluster_that_is_not_there_is_opened_in_time_by_any_client"]
fn is_opened_in_time() {
    let url = std::env::var("KVS_TEST_URL").unwrap();
    let start = Instant::now();
    let error = block_on(async { Store::open(&url).await?.get("k").await }).unwrap_err();
    assert_eq!(error.kind(), keyvaluestore::ErrorKind::Timeout, "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
