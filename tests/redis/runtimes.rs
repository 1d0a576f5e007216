//! No tokio runtime, or one without timers or I/O: an error, not a panic.

use crate::support::process::free_port;
use crate::support::redis::{Cluster, Server};
use futures_util::FutureExt;
use keyvaluestore::{Error, ErrorKind, Result, Store};
use tokio::runtime::{Builder, Runtime};

#[track_caller]
fn names_what_is_needed<T: std::fmt::Debug>(result: Result<T>) -> Error {
    let error = crate::assert_kind(result, ErrorKind::Unsupported);
    assert!(!error.is_retryable() && !error.outcome_is_unknown(), "{error:?}");
    assert!(error.to_string().contains("tokio runtime"), "{error}");
    error
}

fn bare() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}
fn timer_alone() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}
fn whole() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn opening_without_a_runtime_or_without_its_drivers_is_unsupported() {
    let server = Server::start(&[]);
    let closed = format!("127.0.0.1:{}", free_port());
    for address in [server.address(), closed] {
        for scheme in ["redis", "redis+cluster"] {
            let url = format!("{scheme}://{address}");
            names_what_is_needed(Store::open(&url).now_or_never().unwrap().map(drop));
            names_what_is_needed(bare().block_on(Store::open(&url)).map(drop));
            let io_alone = Builder::new_current_thread().enable_io().build().unwrap();
            names_what_is_needed(io_alone.block_on(Store::open(&url)).map(drop));
            let error = timer_alone().block_on(Store::open(&url)).map(drop);
            assert!(names_what_is_needed(error).to_string().contains("I/O"));
        }
    }
    let url = format!("redis+unix://{}", server.socket().display());
    names_what_is_needed(timer_alone().block_on(Store::open(&url)).map(drop));
}

/// Every kind of call, on a store that was opened in another runtime.
async fn calls(store: &Store) {
    names_what_is_needed(store.get("k").await);
    names_what_is_needed(store.eventually_consistent().get("k").await);
    names_what_is_needed(store.set("k", "v").await);
    names_what_is_needed(store.zhrange("z").with_scores().await);
    let mut batch = store.batch();
    let (get, set) = (batch.get("k"), batch.set("k", "v"));
    let mut replies = batch.exec_each().await;
    names_what_is_needed(replies.take(get));
    names_what_is_needed(replies.take(set));
    let mut tx = store.atomic_write();
    tx.set("k", "v");
    names_what_is_needed(tx.exec().await);
}

fn used_without_drivers(url: &str, kill: impl Fn()) {
    let outer = whole();
    let store = outer.block_on(Store::open(url)).unwrap();
    outer.block_on(store.get("k")).unwrap();
    for connected in [true, false] {
        if !connected {
            kill();
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        calls(&store).now_or_never().unwrap();
        bare().block_on(calls(&store));
        // That was not a failed attempt: others connect at once, without backoff.
        outer.block_on(store.get("k")).unwrap();
    }
}

#[test]
fn a_store_that_is_used_without_a_runtime_is_unsupported_and_goes_on_in_one() {
    let server = Server::start(&[]);
    let url = format!("{}?replica={}", server.url(), server.address());
    used_without_drivers(&url, || drop(server.command(&["CLIENT", "KILL", "TYPE", "normal"])));
}

#[test]
fn nor_is_a_cluster_used_without_a_runtime() {
    let cluster = Cluster::start(1, 0);
    let kill = || drop(cluster.nodes[0].command(&["CLIENT", "KILL", "TYPE", "normal"]));
    used_without_drivers(&cluster.url(), kill);
}

/// A connection of another runtime needs only a timer; a reconnect needs I/O.
#[test]
fn a_runtime_with_a_timer_alone_may_use_a_connection_and_not_make_one() {
    let server = Server::start(&[]);
    let outer = whole();
    let store = outer.block_on(Store::open(server.url())).unwrap();
    timer_alone().block_on(store.set("k", "v")).unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    std::thread::sleep(std::time::Duration::from_millis(50));
    names_what_is_needed(timer_alone().block_on(store.set("k", "w")));
    assert_eq!(outer.block_on(store.get("k")).unwrap().unwrap(), "v");
}

/// The runtime shuts down during an attempt that other callers wait for.
#[test]
fn an_attempt_that_ends_with_its_runtime_keeps_nobody_from_connecting() {
    let server = Server::start(&[]);
    let store = whole().block_on(Store::open(server.url())).unwrap();
    for _ in 0..3 {
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        std::thread::sleep(std::time::Duration::from_millis(50));
        let brief = Builder::new_current_thread().enable_all().build().unwrap();
        // One poll starts the attempt.
        brief.block_on(async { assert!(store.set("k", "v").now_or_never().is_none()) });
        drop(brief);
        whole().block_on(store.set("k", "v")).unwrap();
    }
}
