//! A server that is out of memory: a refused write is not applied in part.

use crate::support::redis::Server;
use crate::{Admin, CALLS, assert_kind, open};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keyvaluestore::{ErrorKind, Outcome, Result, Store};

/// Fills a server with a key of each type.
async fn filled(admin: &mut Admin, store: &Store) {
    admin.done(&["CONFIG", "SET", "maxmemory", "0"]);
    admin.done(&["FLUSHALL"]);
    store.set("text", "v").await.unwrap();
    store.set("number", 1).await.unwrap();
    store.sadd("set", ["b", "d"]).await.unwrap();
    store.hset("hash", [("g", "old"), ("i", "old")]).await.unwrap();
    for member in ["a", "c", "d"] {
        store.zadd("sorted", member, 0.0).await.unwrap();
    }
    store.zhadd("sorted", "f", "old", 0.0).await.unwrap();
    // Leftover values, as the Go library leaves them.
    admin.done(&["HSET", "__kvs_zh:sorted", "b", "stale", "a", "stale", "g", "stale"]);
}

#[tokio::test]
async fn a_single_operation_without_memory_is_refused_and_changes_nothing() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    for warm in [true, false] {
        for call in CALLS {
            filled(&mut admin, &store).await;
            if warm {
                (call.run)(store.clone(), call.kind).await.unwrap();
                continue;
            }
            let before = admin.digest();
            admin.done(&["CONFIG", "SET", "maxmemory", "1"]);
            let result = (call.run)(store.clone(), call.kind).await;
            let method = call.name.split('(').next().unwrap();
            let frees = ["s.delete", "s.delete_xx", "s.srem", "s.hdel", "s.zrem", "s.zhrem"];
            if !call.writes || frees.contains(&method) {
                result.unwrap_or_else(|e| panic!("{}: {e:?}", call.name));
            } else {
                let error = assert_kind(result, ErrorKind::Unavailable);
                assert!(!error.outcome_is_unknown(), "{}: it was refused", call.name);
                assert!(error.to_string().contains("memory"), "{error}");
            }
            if !(call.writes && frees.contains(&method)) {
                assert_eq!(admin.digest(), before, "{}", call.name);
            }
        }
    }
}

type Shape = fn(&Store) -> BoxFuture<'_, Result<Outcome>>;

macro_rules! shapes {
    ($(|$w:ident| $body:block)*) => {
        [$(|store: &Store| {
            let mut $w = store.atomic_write();
            $body
            $w.exec().boxed()
        }),*]
    };
}

#[tokio::test]
async fn an_atomic_write_without_memory_is_applied_entirely_or_not_at_all() {
    let shapes: [Shape; 9] = shapes! {
        |w| { w.set("text", "x"); w.sadd("set", ["x"]); }
        |w| { w.delete("text"); w.set("new", "x"); w.zhadd("sorted", "x", "x", 1.0); }
        |w| { w.delete("absent"); w.incr_by("number", 1); w.hset("hash", [("x", "x")]); }
        |w| { w.srem("set", ["b"]); w.zadd("sorted", "b", 1.0); w.sadd("set2", ["x"]); }
        |w| { w.zrem("sorted", "a"); w.zincr_by("sorted", "g", 1.0); w.hset_nx("hash", "x", "x"); }
        |w| { w.zhadd("sorted", "f", "new", 1.0); w.hdel("hash", ["g"]); }
        |w| { w.zadd("sorted", "b", 1.0); w.delete_xx("text"); }
        |w| { w.hdel("hash", ["absent"]); w.sadd("set", (0..10_000).collect::<Vec<_>>()); }
        |w| { w.srem("set", ["b"]); w.delete("hash"); }
    };
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    let (mut refused, mut applied) = (0, 0);
    for (i, shape) in shapes.into_iter().enumerate() {
        filled(&mut admin, &store).await;
        let before = admin.digest();
        assert!(shape(&store).await.unwrap().is_committed());
        let after = admin.digest();
        assert_ne!(before, after);
        filled(&mut admin, &store).await;
        admin.done(&["CONFIG", "SET", "maxmemory", "1"]);
        match shape(&store).await {
            Ok(outcome) => {
                assert!(outcome.is_committed());
                assert_eq!(admin.digest(), after, "{i}");
                applied += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{i}: {error:?}");
                assert!(!error.outcome_is_unknown());
                assert_eq!(admin.digest(), before, "{i}");
                refused += 1;
            }
        }
    }
    assert!(refused > 2 && applied > 2, "{refused} {applied}");
}
