//! Hashes: `hset`, `hset_nx`, `hdel`, `hget`, `hgetall`.

use super::*;
use crate::Value;
use std::collections::BTreeMap;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<Value, Value> {
    pairs.iter().map(|(f, v)| ((*f).into(), (*v).into())).collect()
}

pub(crate) async fn a_missing_hash_is_empty(s: Store) -> Result<()> {
    assert_eq!(s.hget("k", "f").await?, None);
    assert!(s.hgetall("k").await?.is_empty());
    s.hdel("k", ["f"]).await?;
    assert!(!s.delete("k").await?);
    Ok(())
}

pub(crate) async fn hset_sets_and_hdel_removes(s: Store) -> Result<()> {
    s.hset("k", [("a", "1"), ("b", "2")]).await?;
    s.hset("k", [("b", "3"), ("c", "")]).await?;
    assert_eq!(s.hgetall("k").await?, map(&[("a", "1"), ("b", "3"), ("c", "")]));
    assert_eq!(s.hget("k", "c").await?.unwrap(), "");
    assert_eq!(s.hget("k", "d").await?, None);
    s.hdel("k", ["a", "x", "a"]).await?;
    assert_eq!(s.hgetall("k").await?, map(&[("b", "3"), ("c", "")]));
    assert_eq!(s.hget("k", "a").await?, None);
    Ok(())
}

pub(crate) async fn of_a_field_named_twice_the_last_wins(s: Store) -> Result<()> {
    s.hset("k", [("f", "1"), ("g", "x"), ("f", "2"), ("f", "3")]).await?;
    assert_eq!(s.hgetall("k").await?, map(&[("f", "3"), ("g", "x")]));
    Ok(())
}

pub(crate) async fn the_empty_field_is_a_field(s: Store) -> Result<()> {
    s.hset("k", [("", "v")]).await?;
    assert_eq!(s.hget("k", "").await?.unwrap(), "v");
    assert_eq!(s.hgetall("k").await?, map(&[("", "v")]));
    assert!(!s.hset_nx("k", "", "w").await?);
    s.hdel("k", [""]).await?;
    assert!(!s.delete("k").await?);
    Ok(())
}

pub(crate) async fn fields_and_their_values_are_any_bytes(s: Store) -> Result<()> {
    let longest = vec![b'~'; 1_016];
    let fields = [
        &b"\0"[..],
        b"\0\0",
        b"\0\xff",
        b"\xff",
        b"hk",
        b"rk",
        b"v",
        b"~",
        b"a.b",
        b"#n",
        &longest,
    ];
    s.hset("k", fields.map(|f| (f, [f, b"\0"].concat()))).await?;
    let all = s.hgetall("k").await?;
    assert_eq!(all.len(), fields.len());
    for field in fields {
        let value = [field, b"\0"].concat();
        assert_eq!(all[field], value[..]);
        assert_eq!(s.hget("k", field).await?.unwrap(), value[..]);
    }
    Ok(())
}

pub(crate) async fn hset_nx_sets_only_an_absent_field(s: Store) -> Result<()> {
    assert!(s.hset_nx("k", "f", "1").await?);
    assert!(!s.hset_nx("k", "f", "2").await?);
    assert!(s.hset_nx("k", "g", "").await?);
    assert!(!s.hset_nx("k", "g", "2").await?);
    assert_eq!(s.hgetall("k").await?, map(&[("f", "1"), ("g", "")]));
    s.hdel("k", ["f"]).await?;
    assert!(s.hset_nx("k", "f", "3").await?);
    assert_eq!(s.hget("k", "f").await?.unwrap(), "3");
    Ok(())
}

pub(crate) async fn a_hash_is_gone_with_its_last_field(s: Store) -> Result<()> {
    for key in ["k", "l"] {
        s.hset(key, [("a", "1"), ("b", "2")]).await?;
        s.hdel(key, ["a", "b"]).await?;
    }
    assert!(!s.delete("k").await?);
    assert!(!s.set_xx("l", "x").await?);
    assert!(s.set_nx("l", "x").await?);
    Ok(())
}

pub(crate) async fn hdel_and_hset_of_nothing_make_nothing(s: Store) -> Result<()> {
    s.hset("k", [("", ""); 0]).await?;
    s.hdel("k", [""; 0]).await?;
    s.hdel("k", ["f"]).await?;
    assert!(!s.delete("k").await?);
    assert!(s.set_nx("k", "x").await?);
    Ok(())
}

pub(crate) async fn long_hash_values_read_back(s: Store) -> Result<()> {
    for len in [1_000, 100_001, 150_000, 300_000, 3] {
        let value = patterned(len);
        s.hset("k", [("f", &value[..]), ("g", b"beside")]).await?;
        assert_eq!(s.hget("k", "f").await?.unwrap(), value[..]);
        let all = s.hgetall("k").await?;
        assert_eq!(all.len(), 2);
        assert_eq!(all[&b"f"[..]], value[..]);
        assert_eq!(all[&b"g"[..]], "beside");
    }
    Ok(())
}

pub(crate) async fn fields_that_begin_alike_keep_their_long_values(s: Store) -> Result<()> {
    let fields = [&b"a"[..], b"a\0", b"a\0\xff", b"a\xff", b"aa"];
    let value = |i: usize| patterned(20_000 + i);
    s.hset("k", fields.iter().enumerate().map(|(i, field)| (*field, value(i)))).await?;
    for (i, field) in fields.iter().enumerate() {
        s.hset("k", [(field, "short")]).await?;
        assert_eq!(s.hget("k", field).await?.unwrap(), "short");
        for (j, other) in fields.iter().enumerate().skip(i + 1) {
            assert_eq!(s.hget("k", other).await?.unwrap(), value(j)[..], "{field:?} is set");
        }
        s.hdel("k", [field]).await?;
        assert_eq!(s.hget("k", field).await?, None);
        for (j, other) in fields.iter().enumerate().skip(i + 1) {
            assert_eq!(s.hget("k", other).await?.unwrap(), value(j)[..], "{field:?} is removed");
        }
    }
    assert!(!s.delete("k").await?);
    Ok(())
}

pub(crate) async fn what_hgetall_returned_is_the_callers_own(s: Store) -> Result<()> {
    s.hset("k", [("f", "v")]).await?;
    let mut mine = s.hgetall("k").await?;
    mine.insert("g".into(), "w".into());
    mine.remove(&b"f"[..]);
    assert_eq!(s.hgetall("k").await?, map(&[("f", "v")]));
    Ok(())
}

pub(crate) async fn fields_set_at_once_are_all_there(s: Store) -> Result<()> {
    let won = together(8, |i| {
        let s = s.clone();
        async move {
            s.hset("k", (0..10).map(|j| (i * 10 + j, i))).await?;
            s.hset_nx("k", "first", i).await
        }
    })
    .await?;
    assert_eq!(s.hgetall("k").await?.len(), 81);
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    Ok(())
}
