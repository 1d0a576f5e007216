//! Strings: `get`, `set*`, `delete`, and the valid keys and values.

use super::*;

pub(crate) async fn a_missing_key_reads_as_none(s: Store) -> Result<()> {
    assert_eq!(s.get("k").await?, None);
    Ok(())
}

pub(crate) async fn get_returns_what_set_stored(s: Store) -> Result<()> {
    s.set("k", "one").await?;
    assert_eq!(s.get("k").await?.unwrap(), "one");
    s.set("k", "two").await?;
    assert_eq!(s.get("k").await?.unwrap(), "two");
    assert_eq!(s.get("K").await?, None);
    Ok(())
}

pub(crate) async fn values_are_any_bytes(s: Store) -> Result<()> {
    let all: Vec<u8> = (0..=255).collect();
    for value in [&b""[..], b"\0", b"\0\0", b"\xff\xfe", b"\r\n$-1\r\n", b"_", &all] {
        s.set("k", value).await?;
        assert_eq!(s.get("k").await?.unwrap(), *value);
    }
    Ok(())
}

pub(crate) async fn keys_are_any_bytes_and_neighbours_are_strangers(s: Store) -> Result<()> {
    let longest = vec![0xff; 2_048];
    let keys = [
        &b"a"[..],
        b"a\0",
        b"a\0\0",
        b"a\0\x01",
        b"a\0\xff",
        b"a\xff",
        b"aa",
        b"\0",
        b"\xff",
        b"_",
        b"{a}",
        &longest,
    ];
    for (i, key) in keys.iter().enumerate() {
        s.set(*key, i).await?;
    }
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(s.get(*key).await?.unwrap().to::<usize>()?, i, "{key:?}");
    }
    for key in keys {
        assert!(s.delete(key).await?, "{key:?}");
        assert_eq!(s.get(key).await?, None);
    }
    Ok(())
}

pub(crate) async fn values_up_to_390_kib_read_back(s: Store) -> Result<()> {
    for len in [1_023, 1_024, 65_536, 99_999, 100_000, 100_001, 101 * 1_024, 390 * 1_024] {
        let value = patterned(len);
        s.set("k", &value).await?;
        assert_eq!(s.get("k").await?.unwrap(), value[..], "{len}");
        assert!(s.set_eq("k", "short", &value).await?, "{len}");
        assert_eq!(s.get("k").await?.unwrap(), "short");
    }
    Ok(())
}

pub(crate) async fn set_replaces_a_counter_a_set_or_a_hash(s: Store) -> Result<()> {
    s.incr_by("counter", 7).await?;
    s.sadd("set", ["a", "b"]).await?;
    s.hset("hash", [("f", "v"), ("", "w")]).await?;
    for key in ["counter", "set", "hash"] {
        s.set(key, "text").await?;
        assert_eq!(s.get(key).await?.unwrap(), "text", "{key}");
        assert!(s.delete(key).await?);
        assert!(!s.delete(key).await?);
    }
    // No data of the old type is left.
    assert!(s.smembers("set").await?.is_empty());
    assert!(s.hgetall("hash").await?.is_empty());
    Ok(())
}

pub(crate) async fn set_nx_sets_only_where_nothing_is(s: Store) -> Result<()> {
    assert!(s.set_nx("k", "one").await?);
    assert!(!s.set_nx("k", "two").await?);
    assert_eq!(s.get("k").await?.unwrap(), "one");
    s.set("empty", "").await?;
    assert!(!s.set_nx("empty", "x").await?);
    Ok(())
}

pub(crate) async fn set_nx_sees_counters_sets_and_hashes(s: Store) -> Result<()> {
    s.incr_by("counter", 0).await?;
    s.sadd("set", ["a"]).await?;
    s.hset("hash", [("f", "v")]).await?;
    for key in ["counter", "set", "hash"] {
        assert!(!s.set_nx(key, "text").await?, "{key}");
    }
    assert_eq!(s.incr_by("counter", 1).await?, 1);
    assert_eq!(s.smembers("set").await?, ["a"]);
    assert_eq!(s.hget("hash", "f").await?.unwrap(), "v");
    Ok(())
}

pub(crate) async fn set_xx_sets_only_where_something_is(s: Store) -> Result<()> {
    assert!(!s.set_xx("k", "one").await?);
    assert_eq!(s.get("k").await?, None);
    s.set("k", "").await?;
    assert!(s.set_xx("k", "two").await?);
    assert_eq!(s.get("k").await?.unwrap(), "two");
    Ok(())
}

pub(crate) async fn set_xx_replaces_counters_sets_and_hashes(s: Store) -> Result<()> {
    s.incr_by("counter", 3).await?;
    s.sadd("set", ["a"]).await?;
    s.hset("hash", [("f", "v")]).await?;
    for key in ["counter", "set", "hash"] {
        assert!(s.set_xx(key, "text").await?, "{key}");
        assert_eq!(s.get(key).await?.unwrap(), "text");
        assert!(s.delete(key).await?);
        assert!(!s.set_xx(key, "text").await?, "{key}");
    }
    Ok(())
}

pub(crate) async fn set_eq_compares_and_swaps(s: Store) -> Result<()> {
    s.set("k", "one").await?;
    assert!(!s.set_eq("k", "two", "on").await?);
    assert!(!s.set_eq("k", "two", "one ").await?);
    assert!(!s.set_eq("k", "two", "").await?);
    assert_eq!(s.get("k").await?.unwrap(), "one");
    assert!(s.set_eq("k", "two", "one").await?);
    assert_eq!(s.get("k").await?.unwrap(), "two");
    s.set("k", "two").await?; // the same value, written again
    assert!(s.set_eq("k", "three", "two").await?);
    Ok(())
}

pub(crate) async fn set_eq_never_holds_for_a_missing_key(s: Store) -> Result<()> {
    assert!(!s.set_eq("k", "x", "").await?);
    assert!(!s.set_eq("k", "x", "0").await?);
    assert_eq!(s.get("k").await?, None);
    s.set("k", "").await?;
    assert!(s.set_eq("k", "x", "").await?);
    Ok(())
}

pub(crate) async fn set_eq_does_not_care_how_a_number_was_written(s: Store) -> Result<()> {
    s.set("k", 1).await?;
    assert!(s.set_eq("k", 2, "1").await?);
    assert!(s.set_eq("k", "3", 2).await?);
    s.incr_by("k", 4).await?;
    assert!(!s.set_eq("k", "x", "07").await?);
    assert!(!s.set_eq("k", "x", "+7").await?);
    assert!(s.set_eq("k", "-0", "7").await?);
    assert!(!s.set_eq("k", "x", "0").await?, "`-0` is text, and different from `0`");
    s.incr_by("n", 10).await?;
    assert!(s.set_eq("n", "x", "10").await?);
    Ok(())
}

pub(crate) async fn set_eq_on_a_set_or_hash_changes_nothing(given: Given) -> Result<()> {
    let s = &given.store;
    s.sadd("set", ["a"]).await?;
    s.hset("hash", [("f", "v")]).await?;
    for key in ["set", "hash"] {
        for old in ["", "a", "v"] {
            given.wrong_type_or(s.set_eq(key, "x", old).await, false);
        }
    }
    assert_eq!(s.smembers("set").await?, ["a"]);
    assert_eq!(s.hget("hash", "f").await?.unwrap(), "v");
    Ok(())
}

pub(crate) async fn delete_removes_whatever_a_key_holds_and_tells(s: Store) -> Result<()> {
    assert!(!s.delete("k").await?);
    s.set("string", "").await?;
    s.incr_by("counter", 0).await?;
    s.sadd("set", ["a", "b"]).await?;
    s.hset("hash", [("f", "v"), ("g", "w")]).await?;
    s.zadd("sorted", "m", 1.0).await?;
    s.zadd("sorted", "n", 2.0).await?;
    s.zhadd("sorted_hash", "f", patterned(2_000), 1.0).await?;
    let keys = ["string", "counter", "set", "hash", "sorted", "sorted_hash"];
    for key in keys {
        assert!(s.delete(key).await?, "{key}");
        assert!(!s.delete(key).await?, "{key}");
        assert!(s.set_nx(key, "x").await?, "{key}");
        assert!(s.delete(key).await?, "{key}");
    }
    assert!(s.zrange("sorted").await?.is_empty());
    assert_eq!(s.zcount("sorted_hash", ..).await?, 0);
    assert_eq!(s.zhget("sorted_hash", "f").await?, None);
    Ok(())
}

pub(crate) async fn exists_sees_every_type_and_nothing_else(s: Store) -> Result<()> {
    let keys = ["string", "counter", "set", "hash", "sorted", "sorted_hash"];
    for key in keys {
        assert!(!s.exists(key).await?, "{key}");
    }
    s.set("string", "").await?;
    s.incr_by("counter", 0).await?;
    s.sadd("set", [""]).await?;
    s.hset("hash", [("", "")]).await?;
    s.zadd("sorted", "_", f64::NEG_INFINITY).await?;
    s.zhadd("sorted_hash", "f", patterned(2_000), 1.0).await?;
    for key in keys {
        assert!(s.exists(key).await?, "{key}");
        let (before, after) = (&key[..key.len() - 1], format!("{key}\0"));
        assert!(!s.exists(before).await? && !s.exists(after).await?, "next to {key}");
        s.delete(key).await?;
        assert!(!s.exists(key).await?, "{key}");
    }
    Ok(())
}

pub(crate) async fn exists_in_a_batch_sees_the_writes_before_it(s: Store) -> Result<()> {
    s.zadd("z", "m", 1.0).await?;
    let mut batch = s.batch();
    let mut handles = vec![(batch.exists("k"), false), (batch.exists("z"), true)];
    batch.set("k", "v");
    batch.zrem("z", "m");
    handles.extend([(batch.exists("k"), true), (batch.exists("z"), false)]);
    batch.delete("k");
    batch.zadd("z", "n", 2.0);
    handles.extend([(batch.exists("k"), false), (batch.exists("z"), true)]);
    let mut replies = batch.exec().await?;
    for (handle, expected) in handles {
        assert_eq!(replies.take(handle)?, expected);
    }
    Ok(())
}

pub(crate) async fn what_was_emptied_does_not_exist(s: Store) -> Result<()> {
    s.sadd("set", ["a"]).await?;
    s.srem("set", ["a"]).await?;
    s.hset("hash", [("f", "v")]).await?;
    s.hdel("hash", ["f"]).await?;
    s.zhadd("sorted", "f", "v", 1.0).await?;
    s.zhrem("sorted", "f").await?;
    // An atomic write may leave an item or a row behind.
    s.hset("atomic", [("f", "v")]).await?;
    let mut tx = s.atomic_write();
    tx.hdel("atomic", ["f"]);
    tx.commit().await?;
    for key in ["set", "hash", "sorted", "atomic"] {
        assert!(!s.exists(key).await?, "{key}");
    }
    // A sorted set is found behind what an emptied hash left.
    s.zadd("atomic", "m", 1.0).await?;
    assert!(s.exists("atomic").await?);
    Ok(())
}

pub(crate) async fn delete_xx_alone_is_delete(s: Store) -> Result<()> {
    assert!(!s.delete_xx("k").await?);
    s.set("k", "v").await?;
    s.zadd("z", "m", 1.0).await?;
    assert!(s.delete_xx("k").await?);
    assert!(s.delete_xx("z").await?);
    assert!(!s.delete_xx("z").await?);
    assert_eq!(s.get("k").await?, None);
    Ok(())
}

pub(crate) async fn of_many_set_nx_at_once_one_wins(s: Store) -> Result<()> {
    let won = together(16, |i| {
        let s = s.clone();
        async move { s.set_nx("k", i).await }
    })
    .await?;
    let winners: Vec<usize> = (0..16).filter(|i| won[*i]).collect();
    assert_eq!(winners.len(), 1, "{won:?}");
    assert_eq!(s.get("k").await?.unwrap().to::<usize>()?, winners[0]);
    Ok(())
}

pub(crate) async fn compare_and_swap_at_once_loses_no_update(s: Store) -> Result<()> {
    s.set("k", 0).await?;
    together(8, |_| {
        let s = s.clone();
        async move {
            for _ in 0..10 {
                loop {
                    let old = s.get("k").await?.unwrap().to::<u64>()?;
                    match s.set_eq("k", old + 1, old).await {
                        Ok(true) => break,
                        Err(e) if e.kind() != ErrorKind::Conflict => return Err(e),
                        _ => {}
                    }
                }
            }
            Ok(())
        }
    })
    .await?;
    assert_eq!(s.get("k").await?.unwrap(), "80");
    Ok(())
}

pub(crate) async fn a_long_value_is_read_whole_while_it_is_replaced(s: Store) -> Result<()> {
    let values = [vec![b'a'; 200_000], vec![b'b'; 200_000]];
    let write = |s: Store, value: Vec<u8>| async move {
        s.set("k", &value).await?;
        s.hset("h", [("f", &value)]).await?;
        s.zhadd("z", "f", &value, 0.0).await
    };
    write(s.clone(), values[1].clone()).await?;
    let writer = tokio::spawn({
        let (s, values) = (s.clone(), values.clone());
        async move {
            for i in 0..20 {
                write(s.clone(), values[i % 2].clone()).await?;
            }
            Ok::<_, Error>(())
        }
    });
    while !writer.is_finished() {
        let mut b = s.batch();
        let (get, hget, zhget) = (b.get("k"), b.hget("h", "f"), b.zhget("z", "f"));
        let (all, range) = (b.hgetall("h"), b.zhrange("z").queue());
        let mut r = b.exec().await?;
        let mut found =
            vec![r.take(get)?.unwrap(), r.take(hget)?.unwrap(), r.take(zhget)?.unwrap()];
        found.extend(r.take(all)?.into_values());
        found.extend(r.take(range)?);
        found.extend([s.get("k").await?.unwrap(), s.zhget("z", "f").await?.unwrap()]);
        assert_eq!(found.len(), 7);
        for (i, found) in found.iter().enumerate() {
            let whole = values.iter().any(|value| *found == value[..]);
            assert!(whole, "{i}: {} bytes, mixed from two values", found.len());
        }
    }
    writer.await.expect("the task panicked")
}
