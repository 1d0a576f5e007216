//! Sorted hashes: `zhadd*`, `zhrem`, `zhget`, `zhrange`, and sorted-set operations on them.

use super::*;

pub(crate) async fn a_sorted_hash_keeps_values_in_the_order_of_scores(s: Store) -> Result<()> {
    s.zhadd("k", "b", "vb", 1.0).await?;
    s.zhadd("k", "a", "va", 2.0).await?;
    s.zhadd("k", "c", "", 1.0).await?;
    assert_eq!(s.zhget("k", "a").await?.unwrap(), "va");
    assert_eq!(s.zhget("k", "c").await?.unwrap(), "");
    assert_eq!(s.zhget("k", "d").await?, None);
    assert_eq!(s.zhrange("k").await?, ["vb", "", "va"]);
    assert_eq!(s.zrange("k").await?, ["b", "c", "a"]);
    assert_eq!(
        s.zhrange("k").rev().with_scores().limit(2).await?,
        scored(&[("va", 2.0), ("", 1.0)])
    );
    assert_eq!(s.zscore("k", "a").await?, Some(2.0));
    assert_eq!(s.zcount("k", ..).await?, 3);
    Ok(())
}

pub(crate) async fn zhadd_replaces_value_and_score(s: Store) -> Result<()> {
    s.zhadd("k", "f", "one", 1.0).await?;
    s.zhadd("k", "g", "other", 2.0).await?;
    s.zhadd("k", "f", "two", 1.0).await?;
    assert_eq!(s.zhrange("k").await?, ["two", "other"]);
    s.zhadd("k", "f", "two", 3.0).await?;
    assert_eq!(s.zhrange("k").await?, ["other", "two"]);
    s.zhadd("k", "f", "three", 0.0).await?;
    assert_eq!(s.zhrange("k").with_scores().await?, scored(&[("three", 0.0), ("other", 2.0)]));
    assert_eq!(s.zhget("k", "f").await?.unwrap(), "three");
    Ok(())
}

pub(crate) async fn zhadd_nx_adds_only_an_absent_field(s: Store) -> Result<()> {
    assert!(s.zhadd_nx("k", "f", "one", 1.0).await?);
    assert!(!s.zhadd_nx("k", "f", "two", 2.0).await?);
    s.zadd("k", "m", 0.0).await?;
    assert!(!s.zhadd_nx("k", "m", "v", 2.0).await?, "a member is a field");
    assert_eq!(s.zhrange("k").with_scores().await?, scored(&[("m", 0.0), ("one", 1.0)]));
    s.zhrem("k", "f").await?;
    assert!(s.zhadd_nx("k", "f", "three", 3.0).await?);
    assert_eq!(s.zhget("k", "f").await?.unwrap(), "three");
    Ok(())
}

pub(crate) async fn a_member_of_a_sorted_set_is_its_own_value(s: Store) -> Result<()> {
    s.zadd("k", "m", 1.0).await?;
    assert_eq!(s.zhget("k", "m").await?.unwrap(), "m");
    assert_eq!(s.zhrange("k").with_scores().await?, scored(&[("m", 1.0)]));
    assert_eq!(s.zhrange("k").by_lex(..).await?, ["m"]);
    Ok(())
}

pub(crate) async fn zadd_over_zhadd_leaves_no_stale_value(s: Store) -> Result<()> {
    for score in [1.0, 2.0] {
        s.zhadd("k", "f", "v", 1.0).await?;
        s.zadd("k", "f", score).await?;
        assert_eq!(s.zhrange("k").await?, ["f"]);
        assert_eq!(s.zhget("k", "f").await?.unwrap(), "f");
        s.zhadd("k", "f", "w", score).await?;
        assert_eq!(s.zhrange("k").await?, ["w"]);
        assert_eq!(s.zrange("k").await?, ["f"]);
    }
    Ok(())
}

pub(crate) async fn no_removed_value_comes_back(s: Store) -> Result<()> {
    let removals = ["zrem", "zhrem", "delete"];
    for removal in removals {
        s.zhadd("k", "f", "stale", 1.0).await?;
        s.zhadd("k", "g", patterned(5_000), 1.0).await?;
        match removal {
            "zrem" => s.zrem("k", "f").await?,
            "zhrem" => s.zhrem("k", "f").await?,
            _ => drop(s.delete("k").await?),
        }
        assert_eq!(s.zhget("k", "f").await?, None, "{removal}");
        assert_eq!(s.zincr_by("k", "f", 2.0).await?, 2.0, "{removal}");
        assert_eq!(s.zhget("k", "f").await?.unwrap(), "f", "{removal}");
        s.zrem("k", "f").await?;
        s.zadd("k", "f", 1.0).await?;
        assert_eq!(s.zhget("k", "f").await?.unwrap(), "f", "{removal}");
        s.delete("k").await?;
        assert!(s.set_nx("k", "string").await?);
        assert!(s.delete("k").await?);
    }
    Ok(())
}

pub(crate) async fn zincr_by_keeps_the_value(s: Store) -> Result<()> {
    let long = patterned(20_000);
    s.zhadd("k", "f", "v", 1.0).await?;
    s.zhadd("k", "long", &long, 1.0).await?;
    assert_eq!(s.zincr_by("k", "f", 5.0).await?, 6.0);
    assert_eq!(s.zincr_by("k", "long", 1.5).await?, 2.5);
    assert_eq!(s.zhget("k", "f").await?.unwrap(), "v");
    assert_eq!(s.zhget("k", "long").await?.unwrap(), long[..]);
    assert_eq!(s.zhrange("k").await?, [&long[..], b"v"]);
    Ok(())
}

pub(crate) async fn sorted_hash_values_of_any_size_read_back(s: Store) -> Result<()> {
    for (i, len) in
        [0, 1, 900, 1_023, 1_024, 1_025, 99_999, 100_001, 390 * 1_024, 5].iter().enumerate()
    {
        let value = patterned(*len);
        s.zhadd("k", "f", &value, i as f64).await?;
        s.zhadd("k", "g", "beside", i as f64).await?;
        assert_eq!(s.zhget("k", "f").await?.unwrap(), value[..], "{len}");
        assert_eq!(s.zhrange("k").await?, [&value[..], b"beside"], "{len}");
        assert_eq!(s.zhrange("k").by_lex(.."g").await?, [&value[..]], "{len}");
        assert_eq!(s.zrange("k").await?, ["f", "g"], "{len}");
    }
    s.zhrem("k", "f").await?;
    s.zhrem("k", "g").await?;
    assert!(!s.delete("k").await?);
    Ok(())
}

pub(crate) async fn zhrange_takes_every_option_of_zrange(s: Store) -> Result<()> {
    for i in 0..5 {
        s.zhadd("k", format!("f{i}"), format!("v{}", 9 - i), 0.0).await?;
    }
    assert_eq!(s.zhrange("k").by_lex("f1".."f4").await?, ["v8", "v7", "v6"]);
    assert_eq!(s.zhrange("k").by_lex("f1"..).rev().limit(2).await?, ["v5", "v6"]);
    assert_eq!(
        s.zhrange("k").by_lex(..="f1").with_scores().await?,
        scored(&[("v9", 0.0), ("v8", 0.0)])
    );
    assert_eq!(s.zhrange("k").by_score(0.0..).limit(1).await?, ["v9"]);
    Ok(())
}

pub(crate) async fn fields_that_begin_alike_keep_their_long_sorted_values(s: Store) -> Result<()> {
    let fields = [&b"a"[..], b"a\0", b"a\0\xff", b"aa", b"a\xff"];
    let value = |i: usize| patterned(20_000 + i);
    for (i, field) in fields.iter().enumerate() {
        s.zhadd("k", *field, value(i), 0.0).await?;
    }
    for (i, field) in fields.iter().enumerate() {
        let rest: Vec<_> = (i + 1..fields.len()).map(value).collect();
        s.zhadd("k", *field, "short", 0.0).await?;
        let all = s.zhrange("k").await?;
        assert_eq!(all[0], "short");
        assert!(all[1..] == rest, "{field:?} is replaced");
        s.zhrem("k", *field).await?;
        assert!(s.zhrange("k").by_lex(..).await? == rest, "{field:?} is removed");
    }
    assert!(!s.delete("k").await?);
    Ok(())
}

pub(crate) async fn a_range_may_hold_members_short_values_and_long_ones(s: Store) -> Result<()> {
    let long = patterned(30_000);
    s.zadd("k", "a member", 0.0).await?;
    s.zhadd("k", "b", &long, 0.0).await?;
    s.zhadd("k", "c", "short", 0.0).await?;
    s.zhadd("k", "d", "", 0.0).await?;
    assert_eq!(s.zhrange("k").await?, [b"a member", &long[..], b"short", b""]);
    assert_eq!(s.zhrange("k").by_lex(..).rev().await?, [b"", &b"short"[..], &long, b"a member"]);
    assert_eq!(s.zrange("k").await?, ["a member", "b", "c", "d"]);
    let with_scores = s.zhrange("k").limit(2).with_scores().await?;
    assert_eq!(with_scores, [("a member".into(), 0.0), (Value::from(&long[..]), 0.0)]);
    Ok(())
}
