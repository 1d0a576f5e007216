//! Scripts: a server that forgets them (`SCRIPT FLUSH`), and names that are unknown.

use crate::support::redis::Server;
use crate::{Admin, CALLS, open};
use futures_util::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test]
async fn every_operation_works_on_a_server_that_has_forgotten_its_scripts() {
    let server = Server::start(&[]);
    let (store, mut admin) = (open(&server.url()).await, Admin::of(&server));
    for call in CALLS {
        let before = (call.run)(store.clone(), call.kind).await.unwrap();
        if !call.writes {
            admin.done(&["SCRIPT", "FLUSH"]);
            let after = (call.run)(store.clone(), call.kind).await.unwrap();
            assert_eq!(before, after, "{}", call.name);
        }
    }
    let state = |s: keyvaluestore::Store| async move {
        let all: Vec<_> = CALLS.iter().filter(|call| !call.writes).collect();
        let mut replies = Vec::new();
        for call in all {
            replies.push((call.run)(s.clone(), call.kind).await.unwrap());
        }
        replies
    };
    let expected = state(store.clone()).await;
    admin.done(&["FLUSHALL"]);
    for call in CALLS {
        admin.done(&["SCRIPT", "FLUSH"]);
        (call.run)(store.clone(), call.kind).await.unwrap();
    }
    assert_eq!(state(store).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_forgotten_under_load_lose_and_repeat_nothing() {
    const TASKS: usize = 32;
    const ROUNDS: i64 = 60;
    let server = Server::start(&[]);
    let store = open(&server.url()).await;
    let over = Arc::new(AtomicBool::new(false));
    let flusher = std::thread::spawn({
        let (over, mut admin) = (Arc::clone(&over), Admin::of(&server));
        move || {
            let mut flushes = 0;
            while !over.load(Ordering::Relaxed) {
                admin.done(&["SCRIPT", "FLUSH"]);
                flushes += 1;
            }
            flushes
        }
    });
    let tasks = (0..TASKS).map(|task| {
        let s = store.clone();
        tokio::spawn(async move {
            let (text, z) = (format!("text{task}"), format!("z{task}"));
            s.set(&text[..], 0).await.unwrap();
            for i in 0..ROUNDS {
                assert!(s.set_eq(&text[..], i + 1, i).await.unwrap());
                assert_eq!(s.zincr_by(&z[..], "m", 1.0).await.unwrap(), (3 * i + 1) as f64);
                let mut b = s.batch();
                let first = b.zincr_by(&z[..], "m", 1.0);
                let read = b.zscore(&z[..], "m");
                b.zhadd(&z[..], "f", i, 0.0);
                let value = b.zhget(&z[..], "f");
                b.zrem(&z[..], "f");
                let gone = b.zhget(&z[..], "f");
                let mut r = b.exec().await.unwrap();
                let sum = (3 * i + 2) as f64;
                assert_eq!((r.take(first).unwrap(), r.take(read).unwrap()), (sum, Some(sum)));
                assert_eq!(r.take(value).unwrap().unwrap(), i.to_string());
                assert_eq!(r.take(gone).unwrap(), None);
                let mut w = s.atomic_write();
                w.incr_by("all", 1);
                w.zincr_by(&z[..], "m", 1.0);
                w.incr_by(format!("n{task}"), 1);
                assert!(w.exec().await.unwrap().is_committed());
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    assert!(flusher.join().unwrap() > 100);
    let all = store.get("all").await.unwrap().unwrap();
    assert_eq!(all, (TASKS as i64 * ROUNDS).to_string());
    for task in 0..TASKS {
        assert_eq!(store.get(format!("n{task}")).await.unwrap().unwrap(), ROUNDS.to_string());
        let score = store.zscore(format!("z{task}"), "m").await.unwrap();
        assert_eq!(score, Some((3 * ROUNDS) as f64));
    }
}

/// The script once decided by the first letters of a name: `zpopmin` would have been a `ZADD`.
#[tokio::test]
async fn an_atomic_write_with_a_name_that_the_script_does_not_know_applies_nothing() {
    let server = Server::start(&[]);
    let mut admin = Admin::of(&server);
    let script = include_str!("../../src/backend/redis/scripts/transact.lua");
    for name in ["zpopmin", "setrange", "hincr_by", "deletes", "SET", ""] {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(script).arg(3).arg(&["a", "b", "c"]).arg("lost");
        cmd.arg(&["set", "v", name, "v", "set", "v"]);
        let error = cmd.query::<redis::Value>(&mut admin.0).unwrap_err();
        assert!(error.to_string().contains(&format!("unknown write {name}")), "{error}");
        assert_eq!(admin.run::<usize>(&["DBSIZE"]), 0, "{name}");
    }
}
