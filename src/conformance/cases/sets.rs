//! Sets: `sadd`, `srem`, `smembers`.

use super::*;

pub(crate) async fn a_missing_set_is_empty(s: Store) -> Result<()> {
    assert!(s.smembers("k").await?.is_empty());
    s.srem("k", ["a"]).await?;
    assert!(s.smembers("k").await?.is_empty());
    Ok(())
}

pub(crate) async fn sadd_adds_and_srem_removes(s: Store) -> Result<()> {
    s.sadd("k", ["a", "b"]).await?;
    s.sadd("k", ["b", "c"]).await?;
    assert_eq!(members(&s, "k").await?, ["a", "b", "c"]);
    s.srem("k", ["a", "x"]).await?;
    assert_eq!(members(&s, "k").await?, ["b", "c"]);
    Ok(())
}

pub(crate) async fn a_member_named_twice_counts_once(s: Store) -> Result<()> {
    s.sadd("k", ["a", "a", "b", "a"]).await?;
    assert_eq!(members(&s, "k").await?, ["a", "b"]);
    s.srem("k", ["a", "a"]).await?;
    assert_eq!(members(&s, "k").await?, ["b"]);
    Ok(())
}

pub(crate) async fn set_members_are_any_bytes_also_none(s: Store) -> Result<()> {
    let longest = vec![7; 1_016];
    let mut all = [&b""[..], b"\0", b"\0\0", b"\0\xff", b"\xff", b"_", b"~", b"1", b"01", &longest];
    s.sadd("k", all).await?;
    all.sort_unstable();
    assert_eq!(members(&s, "k").await?, all);
    for member in all {
        s.srem("k", [member]).await?;
    }
    assert!(s.smembers("k").await?.is_empty());
    assert!(!s.delete("k").await?);
    Ok(())
}

pub(crate) async fn a_set_is_gone_with_its_last_member(s: Store) -> Result<()> {
    for key in ["k", "l"] {
        s.sadd(key, ["a", "b"]).await?;
        s.srem(key, ["a", "b", "c"]).await?;
    }
    assert!(s.smembers("k").await?.is_empty());
    assert!(!s.delete("k").await?);
    assert!(!s.set_xx("l", "x").await?);
    assert!(s.set_nx("l", "x").await?);
    assert_eq!(s.get("l").await?.unwrap(), "x");
    Ok(())
}

pub(crate) async fn srem_of_a_missing_key_makes_nothing(s: Store) -> Result<()> {
    s.srem("k", ["a"]).await?;
    assert!(!s.delete("k").await?);
    assert!(s.set_nx("k", "x").await?);
    Ok(())
}

pub(crate) async fn sadd_and_srem_of_nothing_change_nothing(s: Store) -> Result<()> {
    s.sadd("k", [""; 0]).await?;
    s.srem("k", [""; 0]).await?;
    assert!(!s.delete("k").await?);
    s.sadd("k", ["a"]).await?;
    s.sadd("k", [""; 0]).await?;
    s.srem("k", [""; 0]).await?;
    assert_eq!(members(&s, "k").await?, ["a"]);
    Ok(())
}

pub(crate) async fn a_set_of_a_thousand_members_reads_back(s: Store) -> Result<()> {
    s.sadd("k", 0..1_000).await?;
    let mut found: Vec<u32> =
        s.smembers("k").await?.iter().map(Value::to).collect::<Result<_>>()?;
    found.sort_unstable();
    assert_eq!(found, (0..1_000).collect::<Vec<u32>>());
    s.srem("k", 1..1_000).await?;
    assert_eq!(members(&s, "k").await?, ["0"]);
    Ok(())
}

pub(crate) async fn members_added_at_once_are_all_there(s: Store) -> Result<()> {
    together(8, |i| {
        let s = s.clone();
        async move {
            for j in 0..10 {
                s.sadd("k", [i * 10 + j, 1_000]).await?;
                s.srem("k", [2_000 + i]).await?;
            }
            Ok(())
        }
    })
    .await?;
    assert_eq!(s.smembers("k").await?.len(), 81);
    Ok(())
}
