//! Concurrent writers of the same keys, on requests that take a random time.

use super::{client, quick, store_on, store_with};
use crate::support::doubles::Script;
use keyvaluestore::{ErrorKind, Store};
use std::sync::Arc;
use std::time::Duration;

async fn contended() -> Store {
    let rules = Script::default().slow(Duration::from_micros(500));
    store_on(&client().await, &Arc::new(rules), quick())
}

/// Runs `writer` eight times concurrently, with a number each.
async fn eight<F: Future<Output = ()> + Send + 'static>(
    store: &Store,
    writer: impl Fn(Store, usize) -> F,
) {
    let tasks: Vec<_> = (0..8).map(|i| tokio::spawn(writer(store.clone(), i))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_by_25_are_200_in_a_sorted_set() {
    for member in ["m", "_"] {
        let store = contended().await;
        eight(&store, move |store, _| async move {
            for _ in 0..25 {
                store.zincr_by("z", member, 1.0).await.unwrap();
            }
        })
        .await;
        assert_eq!(store.zscore("z", member).await.unwrap(), Some(200.0));
        assert_eq!(store.zcount("z", 200.0..=200.0).await.unwrap(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_by_25_are_200_in_atomic_writes() {
    let store = contended().await;
    eight(&store, |store, i| async move {
        for _ in 0..25 {
            if i % 2 == 0 {
                store.zincr_by("z", "m", 1.0).await.unwrap();
            } else {
                let mut tx = store.atomic_write();
                tx.zincr_by("z", "m", 1.0);
                tx.incr_by("n", 1);
                assert!(tx.exec().await.unwrap().is_committed());
            }
        }
    })
    .await;
    assert_eq!(store.zscore("z", "m").await.unwrap(), Some(200.0));
    assert_eq!(store.get("n").await.unwrap().unwrap(), "100");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_counter_counts_every_one() {
    let store = contended().await;
    eight(&store, |store, _| async move {
        for _ in 0..25 {
            store.incr_by("n", 1).await.unwrap();
        }
    })
    .await;
    assert_eq!(store.get("n").await.unwrap().unwrap(), "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_set_nx_one_wins_and_of_eight_set_eq_too() {
    let store = contended().await;
    for round in 0..20 {
        let (key, wins) = (format!("k{round}"), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
        let count = Arc::clone(&wins);
        eight(&store, move |store, i| {
            let (key, count) = (key.clone(), Arc::clone(&count));
            async move {
                let first = store.set_nx(&key, "none").await.unwrap();
                let won = store.set_eq(&key, i.to_string(), "none").await.unwrap();
                let wins = usize::from(first) + 10 * usize::from(won);
                count.fetch_add(wins, std::sync::atomic::Ordering::SeqCst);
            }
        })
        .await;
        assert_eq!(wins.load(std::sync::atomic::Ordering::SeqCst), 11);
    }
}

/// Each writer adds a member and removes it again, so the collection is emptied many times. A
/// member must be there until its writer removes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_collection_that_is_emptied_loses_nothing_that_is_added_meanwhile() {
    let store = contended().await;
    eight(&store, |store, i| async move {
        let mine = i.to_string();
        for round in 0..25 {
            let value = round.to_string();
            store.hset("h", [(&mine, &value)]).await.unwrap();
            let found = store.hget("h", &mine).await.unwrap();
            assert_eq!(found.as_deref(), Some(value.as_bytes()), "hash, {i}, round {round}");
            store.hdel("h", [&mine]).await.unwrap();

            store.sadd("s", [&mine]).await.unwrap();
            let members = store.smembers("s").await.unwrap();
            assert!(members.iter().any(|m| *m == mine.as_str()), "set, {i}, round {round}");
            store.srem("s", [&mine]).await.unwrap();

            // The same in atomic writes.
            let mut tx = store.atomic_write();
            let _ = tx.hset_nx("x", &mine, &value);
            assert!(tx.exec().await.unwrap().is_committed(), "{i}, round {round}");
            let mut tx = store.atomic_write();
            tx.hdel("x", [&mine]);
            tx.sadd("y", [&mine]);
            assert!(tx.exec().await.unwrap().is_committed());
            let members = store.smembers("y").await.unwrap();
            assert!(members.iter().any(|m| *m == mine.as_str()), "{i}, round {round}");
            let mut tx = store.atomic_write();
            tx.srem("y", [&mine]);
            assert!(tx.exec().await.unwrap().is_committed());
        }
    })
    .await;
    for key in ["h", "s", "x", "y"] {
        assert!(!store.delete(key).await.unwrap(), "{key}");
        assert!(store.set_nx(key, "v").await.unwrap(), "{key}");
    }
}

/// An emptied hash can become any type. The second writer gets an error, and the value of the first
/// is not lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_emptied_hash_is_one_type_again_and_not_two() {
    let store = contended().await;
    for round in 0..40 {
        let key = format!("k{round}");
        store.hset(&key, [("f", "v")]).await.unwrap();
        let (removed, text, set, field) = tokio::join!(
            store.hdel(&key, ["f"]),
            store.set_nx(&key, "v"),
            store.sadd(&key, ["m"]),
            store.hset_nx(&key, "g", "v"),
        );
        let text = text.unwrap();
        if let Err(e) = removed {
            assert_eq!(e.kind(), ErrorKind::WrongType);
        }
        let is_set = match set {
            Ok(()) => true,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::WrongType);
                false
            }
        };
        let is_hash = match field {
            Ok(won) => won,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::WrongType);
                false
            }
        };
        let held = (
            store.get(&key).await.is_ok_and(|v| v.is_some()),
            store.smembers(&key).await.is_ok_and(|m| !m.is_empty()),
            store.hgetall(&key).await.is_ok_and(|f| !f.is_empty()),
        );
        assert_eq!(held, (text, is_set, is_hash), "round {round}");
        assert!(u8::from(text) + u8::from(is_set) + u8::from(is_hash) <= 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hashes_of_many_fields_written_at_once_keep_them_all() {
    let store = contended().await;
    eight(&store, |store, i| async move {
        let many = if i % 2 == 0 { 300 } else { 20 };
        for round in 0..3 {
            let fields = (0..many).map(|f| (format!("{i}-{round}-{f}"), "v"));
            store.hset("h", fields).await.unwrap();
        }
        let gone = (0..many - 1).map(|f| format!("{i}-0-{f}"));
        store.hdel("h", gone).await.unwrap();
    })
    .await;
    // Two rounds of each writer, and the last field of its first round.
    assert_eq!(store.hgetall("h").await.unwrap().len(), 4 * (601 + 41));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_moved_between_counters_is_neither_made_nor_lost() {
    let store = contended().await;
    for account in 0..4 {
        store.set(account.to_string(), 100).await.unwrap();
    }
    eight(&store, |store, i| async move {
        for round in 0..15 {
            let (from, to) = ((i + round) % 4, (i * 3 + round + 1) % 4);
            if from == to {
                continue;
            }
            let mut tx = store.atomic_write();
            tx.incr_by(from.to_string(), -3);
            tx.incr_by(to.to_string(), 3);
            assert!(tx.exec().await.unwrap().is_committed());
            let mut tx = store.atomic_write();
            // The condition fails if another writer has changed the value.
            let seen = store.get(to.to_string()).await.unwrap().unwrap();
            let n: i64 = seen.to().unwrap();
            let _ = tx.set_eq(to.to_string(), n + 1, n);
            tx.incr_by(from.to_string(), -1);
            let _ = tx.exec().await.unwrap();
        }
    })
    .await;
    let mut sum = 0;
    for account in 0..4 {
        sum += store.get(account.to_string()).await.unwrap().unwrap().to::<i64>().unwrap();
    }
    assert_eq!(sum, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sorted_set_that_is_deleted_while_it_is_written_ends_up_whole() {
    let store = contended().await;
    eight(&store, |store, i| async move {
        for round in 0..10 {
            if i == 0 {
                store.delete("z").await.unwrap();
            } else {
                store.zadd("z", format!("{i}-{round}"), 1.0).await.unwrap();
            }
        }
    })
    .await;
    let (count, lex) = tokio::join!(store.zcount("z", ..), store.zlexcount("z", ..));
    assert_eq!(count.unwrap(), lex.unwrap());
    while store.delete("z").await.unwrap() {}
    assert_eq!(store.zcount("z", ..).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_may_come_in_any_order() {
    let (store, ..) = store_with(Script::default().slow(Duration::from_millis(3)), quick()).await;
    let mut batch = store.batch();
    // For each key: a write, a read that sees it, a write, a read.
    let mut expected = Vec::new();
    for round in 0..3 {
        for key in 0..40 {
            let value = format!("{round}-{key}");
            let _ = batch.set(key.to_string(), &value);
            let _ = batch.hset(format!("h{key}"), [("f", &value)]);
            expected.push((batch.get(key.to_string()), value.clone()));
            expected.push((batch.hget(format!("h{key}"), "f"), value));
        }
    }
    let mut replies = batch.exec().await.unwrap();
    for (handle, value) in expected {
        assert_eq!(replies.take(handle).unwrap().unwrap(), value.as_str());
    }
    let calls = (0..40).map(|key| {
        let store = store.clone();
        tokio::spawn(async move {
            let value = store.get(key.to_string()).await.unwrap().unwrap();
            assert_eq!(value, format!("2-{key}").as_str());
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}
