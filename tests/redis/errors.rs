//! Error messages: they have the address and each cause once, and no keys, values or passwords.

use crate::support::process::free_port;
use crate::support::redis::{Cluster, Server};
use crate::{Admin, open, pause};
use keyvaluestore::backend::RedisOptions;
use keyvaluestore::{Error, ErrorKind, Result, Store};
use std::time::Duration;

/// `Display` and `Debug` of an error and of all its sources.
pub(crate) fn chain(error: &Error) -> Vec<String> {
    let mut texts = vec![error.to_string(), format!("{error:?}")];
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        texts.extend([error.to_string(), format!("{error:?}")]);
        source = error.source();
    }
    texts
}

/// The error names the address, and no message in the chain repeats that of its source.
#[track_caller]
fn assert_good_message<T: std::fmt::Debug>(result: Result<T>, address: &str, kind: ErrorKind) {
    let error = crate::assert_kind(result, kind);
    assert!(error.to_string().contains(address), "{error}");
    let texts: Vec<String> = chain(&error).into_iter().step_by(2).collect();
    for pair in texts.windows(2) {
        assert!(!pair[1].is_empty() && !pair[0].contains(&pair[1]), "{texts:?}");
    }
    for text in chain(&error) {
        assert!(!text.contains("secret") && !text.contains("hunter"), "{text}");
    }
}

#[tokio::test]
async fn errors_of_servers_name_the_address_and_tell_each_cause_once() {
    use ErrorKind::*;
    let server = Server::start(&["--requirepass", "hunter1"]);
    let at = server.address();
    let url = format!("redis://:hunter1@{at}/");
    let mut admin = Admin::new(&url);
    let store = open(&url).await;
    store.sadd("secret-set", ["secret"]).await.unwrap();
    let both = async |store: &Store| {
        let mut batch = store.batch();
        let (read, write) = (batch.get("secret-k"), batch.incr_by("secret-set", 1));
        let mut replies = batch.exec_each().await;
        (replies.take(read).map(drop), replies.take(write).map(drop))
    };
    let atomic = async |store: &Store| {
        let mut tx = store.atomic_write();
        tx.set("secret-k", "secret");
        tx.exec().await
    };
    assert_good_message(store.incr_by("secret-set", 1).await, &at, WrongType);
    assert_good_message(both(&store).await.1, &at, WrongType);
    assert_good_message(store.zrange("secret-set").await, &at, WrongType);
    admin.done(&["CONFIG", "SET", "min-replicas-to-write", "3"]);
    assert_good_message(store.set("secret-k", "secret").await, &at, Unavailable);
    assert_good_message(atomic(&store).await, &at, Unavailable);
    admin.done(&["CONFIG", "SET", "min-replicas-to-write", "0"]);

    admin.done(&["ACL", "SETUSER", "clerk", "on", ">hunter2", "~*", "+@all", "-set", "-get"]);
    let clerk = open(&format!("redis://clerk:hunter2@{at}/")).await;
    assert_good_message(clerk.get("secret-k").await, &at, AccessDenied);
    assert_good_message(clerk.set("secret-k", "secret").await, &at, AccessDenied);
    assert_good_message(atomic(&clerk).await, &at, AccessDenied);
    assert_good_message(both(&clerk).await.0, &at, AccessDenied);
    let refused = Store::open(format!("redis://:hunter3@{at}/")).await;
    assert_good_message(refused, &at, AccessDenied);

    let options = RedisOptions::new().response_timeout(Duration::from_millis(200));
    let brief =
        Store::new(options.connect_timeout(Duration::from_millis(200)).open(&url).await.unwrap());
    server.pause(true);
    assert_good_message(brief.get("secret-k").await, &at, Timeout);
    assert_good_message(brief.get("secret-k").await, &at, Timeout);
    assert_good_message(brief.get("secret-k").await, &at, Unavailable);
    server.pause(false);

    let blocked = store.clone();
    admin.done(&["CLIENT", "PAUSE", "2000", "ALL"]);
    let lost = tokio::spawn(async move {
        let (get, set) = tokio::join!(blocked.get("secret-k"), blocked.set("secret-k", "secret"));
        (get.map(drop), set)
    });
    pause(100).await;
    drop(server);
    let (get, set) = lost.await.unwrap();
    assert_good_message(get, &at, Unavailable);
    assert_good_message(set, &at, Unavailable);
    assert_good_message(store.get("secret-k").await, &at, Unavailable);
    assert_good_message(both(&store).await.0, &at, Unavailable);
    let closed = format!("127.0.0.1:{}", free_port());
    assert_good_message(
        Store::open(format!("redis://:hunter1@{closed}")).await,
        &closed,
        Unavailable,
    );
    let cluster = Store::open(format!("redis+cluster://:hunter1@{closed}")).await;
    assert_good_message(cluster, &closed, Unavailable);
    let socket = Store::open("redis+unix:///nowhere.sock?pass=hunter1").await;
    assert_good_message(socket, "/nowhere.sock", Unavailable);
    let unnamed = Store::open("redis://:hunter1@name.invalid:7/").await;
    assert_good_message(unnamed, "name.invalid:7", Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_cluster_names_the_node() {
    let mut cluster = Cluster::start(2, 0);
    let store = Store::open(cluster.url()).await.unwrap();
    // The slot of `foo` is on the last node.
    let at = cluster.nodes[1].address();
    store.sadd("foo", ["secret"]).await.unwrap();
    assert_good_message(store.incr_by("foo", 1).await, &at, ErrorKind::WrongType);
    cluster.nodes[1].command(&["ACL", "SETUSER", "default", "-get", "-set"]);
    assert_good_message(store.get("foo").await, &at, ErrorKind::AccessDenied);
    let mut tx = store.atomic_write();
    tx.set("foo", "secret");
    assert_good_message(tx.exec().await, &at, ErrorKind::AccessDenied);
    cluster.nodes[1].kill();
    pause(50).await;
    assert_good_message(store.get("foo").await, &at, ErrorKind::Unavailable);
    let mut batch = store.batch();
    let get = batch.get("foo");
    assert_good_message(batch.exec_each().await.take(get), &at, ErrorKind::Unavailable);
}

/// Redis quotes the arguments of an unknown command.
#[tokio::test]
async fn the_words_of_a_server_that_lacks_a_command_show_no_key() {
    let server = Server::start(&["--rename-command", "GET", "", "--rename-command", "SADD", ""]);
    let (store, at) = (open(&server.url()).await, server.address());
    assert_good_message(store.get("secret-k").await, &at, ErrorKind::Other);
    assert_good_message(store.sadd("secret-k", ["secret"]).await, &at, ErrorKind::Other);
    let mut batch = store.batch();
    let sadd = batch.sadd("secret-k", ["secret"]);
    assert_good_message(batch.exec_each().await.take(sadd), &at, ErrorKind::Other);
}
