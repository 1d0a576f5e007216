//! Users and permissions (ACL), and passwords, which no error shows.

use crate::support::redis::{Cluster, Server, version};
use crate::{Admin, CALLS, assert_kind, open};
use keyvaluestore::wrap::Prefix;
use keyvaluestore::{Error, ErrorKind, Redis, Store};
use std::error::Error as _;

fn assert_no_secret(error: &Error) {
    let mut texts = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        texts.push_str(&format!("{error} {error:?}"));
        source = error.source();
    }
    assert!(!texts.contains("hunter"), "{texts}");
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_told_nowhere() {
    let server = Server::start(&["--requirepass", "hunter1"]);
    let at = server.address();
    for user in ["", ":hunter2@", "someone:hunter2@", "someone:hunter1@"] {
        let error = Store::open(format!("redis://{user}{at}/")).await.map(drop);
        let error = assert_kind(error, ErrorKind::AccessDenied);
        assert_no_secret(&error);
        assert!(!error.is_retryable());
    }
    let socket = server.socket().display().to_string();
    for query in ["", "?pass=hunter2", "?user=someone&pass=hunter1"] {
        let url = format!("redis+unix://{socket}{query}");
        assert_no_secret(&assert_kind(Store::open(url).await, ErrorKind::AccessDenied));
    }
    let redis = Redis::open(format!("redis://:hunter1@{at}/")).await.unwrap();
    assert!(!format!("{redis:?}").contains("hunter"), "{redis:?}");
    Store::new(redis).set("k", "v").await.unwrap();
    let store = Store::open(format!("redis+unix://{socket}?pass=hunter1")).await.unwrap();
    assert_eq!(store.get("k").await.unwrap().unwrap(), "v");
}

#[tokio::test]
async fn a_password_that_is_changed_denies_the_next_connection() {
    let server = Server::start(&[]);
    let mut admin = Admin::of(&server);
    admin.done(&["CONFIG", "SET", "requirepass", "hunter1"]);
    let url = format!("redis://:hunter1@{}/", server.address());
    let store = open(&url).await;
    store.set("k", "v").await.unwrap();
    admin.done(&["AUTH", "hunter1"]);
    admin.done(&["CONFIG", "SET", "requirepass", "hunter3"]);
    admin.done(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    crate::pause(50).await;
    let error = assert_kind(store.set("k", "w").await, ErrorKind::AccessDenied);
    assert_no_secret(&error);
    assert!(!error.outcome_is_unknown());
    // During the backoff it is the same error: a retry does not help.
    let error = assert_kind(store.set("k", "w").await, ErrorKind::AccessDenied);
    assert_no_secret(&error);
    assert!(!error.is_retryable() && !error.outcome_is_unknown());
    admin.done(&["CONFIG", "SET", "requirepass", "hunter1"]);
    crate::pause(100).await; // the longest backoff after two attempts
    assert_eq!(store.get("k").await.unwrap().unwrap(), "v");
}

#[tokio::test]
async fn what_a_user_may_not_do_is_denied_and_changes_nothing() {
    let server = Server::start(&[]);
    let mut admin = Admin::of(&server);
    let user = ["ACL", "SETUSER", "clerk", "on", ">hunter2", "~k*", "~__kvs_zh:k*", "+@all"];
    admin.done(&[&user[..], &["-set", "-hset", "-zadd", "-smembers", "-unlink"]].concat());
    let store = open(&format!("redis://clerk:hunter2@{}/", server.address())).await;
    admin.done(&["SET", "k:text", "old"]);
    let before = admin.digest();
    let mut atomic = store.atomic_write();
    // Before Redis 7 a script cannot ask for permissions: only the first write may be denied.
    if version() >= 7 {
        atomic.sadd("k:set", ["a"]);
    }
    atomic.set("k:text", "v");
    let mut batch = store.batch();
    let (set, get) = (batch.set("k:text", "v"), batch.get("k:text"));
    let mut replies = batch.exec_each().await;
    assert_eq!(replies.take(get).unwrap().unwrap(), "old");
    for result in [
        store.set("k:text", "v").await,
        store.set_eq("k:text", "v", "old").await.map(drop),
        store.set_xx("k:text", "v").await.map(drop),
        store.delete("k:text").await.map(drop),
        store.smembers("k:set").await.map(drop),
        store.zadd("k:z", "m", 1.0).await,
        store.zhadd("k:z", "f", "v", 1.0).await,
        store.zadd_nx("k:z", "m", 1.0).await.map(drop),
        store.get("other").await.map(drop),
        store.zhget("other", "f").await.map(drop),
        store.zincr_by("other", "m", 1.0).await.map(drop),
        replies.take(set),
        atomic.exec().await.map(drop),
    ] {
        let error = assert_kind(result, ErrorKind::AccessDenied);
        assert!(!error.outcome_is_unknown());
        assert_no_secret(&error);
    }
    assert_eq!(admin.digest(), before);
    // The user may write the value, but not the score.
    admin.done(&["ACL", "SETUSER", "clerk", "+hset"]);
    assert_kind(store.zhadd("k:z", "f", "v", 1.0).await, ErrorKind::AccessDenied);
    assert_eq!(admin.digest(), before);
}

/// From Redis 7 on, permissions can depend on the key (selectors).
#[tokio::test]
async fn an_atomic_write_of_which_one_key_is_denied_changes_none() {
    let server = Server::start(&[]);
    let mut admin = Admin::of(&server);
    let clerk = ["ACL", "SETUSER", "clerk", "on", ">hunter2", "~*", "+@all", "-set", "(+set ~a:*)"];
    admin.done(&clerk);
    let store = open(&format!("redis://clerk:hunter2@{}/", server.address())).await;
    store.set("a:1", "old").await.unwrap();
    assert_kind(store.set("b:1", "x").await, ErrorKind::AccessDenied);
    let mut tx = store.atomic_write();
    tx.set("a:1", "new");
    tx.set("b:1", "new");
    assert_kind(tx.exec().await, ErrorKind::AccessDenied);
    assert_eq!(store.get("a:1").await.unwrap().unwrap(), "old");
}

/// A sorted hash has two keys. A user who may change only one of them changes neither.
#[tokio::test]
async fn a_call_of_which_one_half_is_denied_changes_nothing() {
    let server = Server::start(&[]);
    let mut admin = Admin::of(&server);
    let all = open(&server.url()).await;
    all.zhadd("k", "f", "value", 1.0).await.unwrap();
    // A leftover value, as the Go library's `ZRem` leaves it.
    admin.done(&["HSET", "__kvs_zh:k", "left", "value"]);
    let before = admin.digest();
    let clerk = |more: &[&'static str]| {
        let user = ["ACL", "SETUSER", "clerk", "reset", "on", ">hunter2", "+@all"];
        [&user[..], more].concat()
    };
    let url = format!("redis://clerk:hunter2@{}/", server.address());
    for denied in [&["~*", "-zadd"][..], &["~*", "-hset", "-zadd"], &["~k"]] {
        admin.done(&clerk(denied));
        let store = open(&url).await;
        for result in [
            store.zhadd("k", "f", "new", 2.0).await,
            store.zhadd("k", "other", "new", 2.0).await,
            store.zhadd_nx("k", "other", "new", 2.0).await.map(drop),
        ] {
            assert_kind(result, ErrorKind::AccessDenied);
            assert_eq!(admin.digest(), before, "{denied:?}");
        }
    }
    for denied in [&["~*", "-hdel"][..], &["~*", "-hdel", "-zadd", "-zrem", "-zincrby"], &["~k"]] {
        admin.done(&clerk(denied));
        let store = open(&url).await;
        for result in [
            store.zadd("k", "f", 2.0).await,
            store.zadd("k", "left", 2.0).await,
            store.zincr_by("k", "left", 1.0).await.map(drop),
            store.zrem("k", "f").await,
        ] {
            assert_kind(result, ErrorKind::AccessDenied);
            assert_eq!(admin.digest(), before, "{denied:?}");
        }
    }
    admin.done(&clerk(&["~k"]));
    assert_kind(open(&url).await.delete("k").await, ErrorKind::AccessDenied);
    assert_eq!(admin.digest(), before);
}

/// `redis_user` in `tests/conformance.rs` is the same for one server.
#[tokio::test]
async fn a_user_who_may_do_what_the_docs_say_can_do_everything_in_a_cluster() {
    let cluster = Cluster::start(3, 0);
    let slots = if version() < 7 { "+cluster" } else { "+cluster|slots" };
    let more = ["+asking", "+readonly", slots];
    for (name, prefix, keys) in [
        ("all", "app", &["~*"][..]),
        ("tagged", "{app}", &["~{app}:*", "~__kvs_zh:{app}:*"]),
        ("plain", "app", &["~app:*", "~__kvs_zh:app:*", "~__kvs_zh{app:*", "~__kvs_zh{*}:app:*"]),
    ] {
        let users: Vec<_> = cluster.nodes.iter().map(|node| node.user(name, keys, &more)).collect();
        let url = users[0].trim_end_matches('/').replace("redis:", "redis+cluster:");
        let store = Store::new(Prefix::new(Redis::open(&url).await.unwrap(), prefix));
        for key in ["text", "{number", "set}", "{tag}hash", "sorted", "}{sorted"] {
            let kind = key.trim_matches(['{', '}']).trim_start_matches("tag}");
            for call in CALLS.iter().filter(|call| call.kind == kind) {
                (call.run)(store.clone(), key).await.unwrap();
            }
            let eventual = store.eventually_consistent();
            let mut batch = eventual.batch();
            let (first, second) = (batch.zhget("sorted", "f"), batch.zhget("}{sorted", "f"));
            let mut replies = batch.exec().await.unwrap();
            drop((replies.take(first).unwrap(), replies.take(second).unwrap()));
            let mut tx = store.atomic_write();
            tx.set("{1}text", "v");
            tx.zhadd("{1}sorted", "f", "v", 1.0);
            assert!(tx.exec().await.unwrap().is_committed());
        }
        if name != "all" {
            let bare = Store::open(&url).await.unwrap();
            assert_kind(bare.get("else").await, ErrorKind::AccessDenied);
        }
    }
}
