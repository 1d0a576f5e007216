//! Sorted sets: `zadd*`, `zrem`, `zscore`, `zincr_by`, and the valid scores and members.

use super::*;

pub(crate) async fn a_missing_sorted_set_is_empty(s: Store) -> Result<()> {
    assert_eq!(s.zscore("k", "m").await?, None);
    assert_eq!(s.zcount("k", ..).await?, 0);
    assert_eq!(s.zlexcount("k", ..).await?, 0);
    assert!(s.zrange("k").await?.is_empty());
    assert!(s.zrange("k").by_lex(..).rev().with_scores().await?.is_empty());
    assert!(s.zhrange("k").await?.is_empty());
    assert_eq!(s.zhget("k", "m").await?, None);
    s.zrem("k", "m").await?;
    assert!(!s.delete("k").await?);
    Ok(())
}

pub(crate) async fn zadd_adds_and_moves(s: Store) -> Result<()> {
    s.zadd("k", "a", 1.0).await?;
    s.zadd("k", "b", 2.0).await?;
    assert_eq!(s.zscore("k", "a").await?, Some(1.0));
    s.zadd("k", "a", 3.0).await?;
    s.zadd("k", "a", 3.0).await?;
    assert_eq!(s.zrange("k").with_scores().await?, scored(&[("b", 2.0), ("a", 3.0)]));
    assert_eq!(s.zcount("k", ..).await?, 2);
    assert_eq!(s.zcount("k", 1.0..=1.0).await?, 0);
    Ok(())
}

pub(crate) async fn zadd_nx_adds_only_an_absent_member(s: Store) -> Result<()> {
    assert!(s.zadd_nx("k", "a", 1.0).await?);
    assert!(!s.zadd_nx("k", "a", 2.0).await?);
    assert!(s.zadd_nx("k", "b", 1.0).await?);
    assert_eq!(s.zrange("k").with_scores().await?, scored(&[("a", 1.0), ("b", 1.0)]));
    s.zrem("k", "a").await?;
    assert!(s.zadd_nx("k", "a", 5.0).await?);
    assert_eq!(s.zscore("k", "a").await?, Some(5.0));
    Ok(())
}

pub(crate) async fn a_sorted_set_is_gone_with_its_last_member(s: Store) -> Result<()> {
    s.zadd("k", "a", 1.0).await?;
    s.zrem("k", "a").await?;
    s.zrem("k", "a").await?;
    assert_eq!(s.zscore("k", "a").await?, None);
    assert!(s.zrange("k").await?.is_empty());
    assert!(!s.delete("k").await?);
    s.zadd("k", "b", 1.0).await?;
    assert_eq!(s.zrange("k").await?, ["b"]);
    s.zrem("k", "b").await?;
    assert!(!s.set_xx("k", "x").await?);
    assert!(s.set_nx("k", "x").await?);
    Ok(())
}

pub(crate) async fn a_deleted_sorted_set_leaves_no_ghosts(s: Store) -> Result<()> {
    for i in 0..30 {
        s.zadd("k", i, f64::from(i)).await?;
    }
    assert!(s.delete("k").await?);
    assert!(s.zrange("k").await?.is_empty());
    assert!(s.zrange("k").by_lex(..).await?.is_empty());
    assert_eq!(s.zscore("k", 3).await?, None);
    s.zadd("k", "new", 3.0).await?;
    assert_eq!(s.zrange("k").await?, ["new"]);
    Ok(())
}

pub(crate) async fn sorted_by_score_then_by_unsigned_bytes(s: Store) -> Result<()> {
    let members = [
        &b"\0"[..],
        b"\0\0",
        b"\x01",
        b"A",
        b"_",
        b"a",
        b"a\0",
        b"aa",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\xff\xff",
    ];
    for member in members.iter().rev() {
        s.zadd("k", *member, 0.0).await?;
    }
    s.zadd("k", "first", -1.0).await?;
    s.zadd("k", "!last", 1.0).await?;
    let mut expected = vec![&b"first"[..]];
    expected.extend(members);
    expected.push(b"!last");
    assert_eq!(s.zrange("k").await?, expected);
    expected.reverse();
    assert_eq!(s.zrange("k").rev().await?, expected);
    Ok(())
}

pub(crate) async fn every_score_but_nan_keeps_its_place(s: Store) -> Result<()> {
    let scores = [
        f64::NEG_INFINITY,
        f64::MIN,
        -1e100,
        -2.0,
        -1.0,
        -0.1,
        -f64::MIN_POSITIVE,
        -5e-324,
        0.0,
        5e-324,
        f64::MIN_POSITIVE,
        0.1,
        0.1 + 0.2,
        1.0,
        1.0 + f64::EPSILON,
        9_007_199_254_740_993.0,
        1e100,
        f64::MAX,
        f64::INFINITY,
    ];
    for (i, score) in scores.iter().enumerate().rev() {
        s.zadd("k", format!("m{i:02}"), *score).await?;
    }
    let found = s.zrange("k").with_scores().await?;
    assert_eq!(found.len(), scores.len());
    for (i, (member, score)) in found.iter().enumerate() {
        assert_eq!(*member, format!("m{i:02}")[..]);
        assert_eq!(score.to_bits(), scores[i].to_bits(), "{score} is not {}", scores[i]);
        assert_eq!(s.zscore("k", member).await?.map(f64::to_bits), Some(scores[i].to_bits()));
        assert_eq!(s.zcount("k", scores[i]..=scores[i]).await?, 1);
        assert_eq!(s.zcount("k", ..scores[i]).await?, i as u64);
    }
    for (i, (member, _)) in found.iter().enumerate() {
        s.zrem("k", member).await?;
        assert_eq!(s.zrange("k").await?.len(), scores.len() - i - 1);
        assert_eq!(s.zcount("k", ..).await?, (scores.len() - i - 1) as u64);
    }
    Ok(())
}

pub(crate) async fn minus_zero_is_zero(s: Store) -> Result<()> {
    s.zadd("k", "m", -0.0).await?;
    s.zadd("k", "n", 0.0).await?;
    assert_eq!(s.zscore("k", "m").await?.map(f64::to_bits), Some(0));
    assert_eq!(s.zrange("k").by_score(0.0..=0.0).await?, ["m", "n"]);
    assert_eq!(s.zrange("k").by_score(-0.0..=-0.0).await?, ["m", "n"]);
    assert_eq!(s.zcount("k", -0.0..).await?, 2);
    assert_eq!(s.zcount("k", 0.0..).await?, 2);
    assert_eq!(s.zcount("k", ..-0.0).await?, 0);
    assert_eq!(s.zincr_by("k", "m", -0.0).await?.to_bits(), 0);
    assert_eq!(s.zincr_by("new", "m", -0.0).await?.to_bits(), 0);
    assert_eq!(s.zscore("new", "m").await?.map(f64::to_bits), Some(0));
    Ok(())
}

pub(crate) async fn nan_is_refused_and_stores_nothing(s: Store) -> Result<()> {
    use ErrorKind::InvalidArgument;
    assert_kind(s.zadd("k", "m", f64::NAN).await, InvalidArgument);
    assert_kind(s.zadd_nx("k", "m", -f64::NAN).await, InvalidArgument);
    assert_kind(s.zhadd("k", "m", "v", f64::NAN).await, InvalidArgument);
    assert_kind(s.zhadd_nx("k", "m", "v", f64::NAN).await, InvalidArgument);
    assert_kind(s.zincr_by("k", "m", f64::NAN).await, InvalidArgument);
    assert_kind(s.zcount("k", f64::NAN..).await, InvalidArgument);
    assert_kind(s.zrange("k").by_score(..=f64::NAN).await, InvalidArgument);
    assert_kind(s.zhrange("k").by_score(f64::NAN..).rev().limit(1).await, InvalidArgument);
    assert!(s.zrange("k").await?.is_empty());
    assert!(!s.delete("k").await?);
    Ok(())
}

pub(crate) async fn zincr_by_counts_from_zero_and_moves(s: Store) -> Result<()> {
    assert_eq!(s.zincr_by("k", "m", 1.5).await?, 1.5);
    assert_eq!(s.zincr_by("k", "m", -4.0).await?, -2.5);
    s.zadd("k", "n", -1.0).await?;
    assert_eq!(s.zrange("k").with_scores().await?, scored(&[("m", -2.5), ("n", -1.0)]));
    assert_eq!(s.zincr_by("k", "zero", 0.0).await?, 0.0);
    assert_eq!(s.zcount("k", ..).await?, 3);
    Ok(())
}

pub(crate) async fn zincr_by_to_infinity_and_not_to_nan(s: Store) -> Result<()> {
    assert_eq!(s.zincr_by("k", "m", f64::INFINITY).await?, f64::INFINITY);
    assert_eq!(s.zincr_by("k", "m", -1e300).await?, f64::INFINITY);
    assert_kind(s.zincr_by("k", "m", f64::NEG_INFINITY).await, ErrorKind::Overflow);
    assert_eq!(s.zscore("k", "m").await?, Some(f64::INFINITY));
    assert_eq!(s.zcount("k", ..).await?, 1);
    s.zadd("k", "n", f64::MAX).await?;
    assert_eq!(s.zincr_by("k", "n", f64::MAX).await?, f64::INFINITY);
    Ok(())
}

pub(crate) async fn a_member_may_be_an_underscore_or_1016_bytes(s: Store) -> Result<()> {
    let longest = vec![b'_'; 1_016];
    for member in [&b"_"[..], b"__", b"~", b"rk2", &longest] {
        s.zadd("k", member, 1.0).await?;
        assert_eq!(s.zscore("k", member).await?, Some(1.0));
        assert_eq!(s.zhget("k", member).await?.unwrap(), *member);
    }
    assert_eq!(s.zcount("k", ..).await?, 5);
    assert_eq!(s.zrange("k").by_lex(&longest[..]..).await?, [&longest[..], b"rk2", b"~"]);
    for member in [&b"_"[..], b"__", b"~", b"rk2", &longest] {
        s.zrem("k", member).await?;
    }
    assert!(!s.delete("k").await?);
    Ok(())
}

pub(crate) async fn two_sorted_sets_do_not_mix(s: Store) -> Result<()> {
    for key in ["k", "k\0", "kk", "\0k"] {
        s.zadd(key, key, 0.0).await?;
    }
    for key in ["k", "k\0", "kk", "\0k"] {
        assert_eq!(s.zrange(key).await?, [key]);
        assert_eq!(s.zrange(key).by_lex(..).rev().await?, [key]);
        assert_eq!(s.zcount(key, ..).await?, 1);
    }
    Ok(())
}

pub(crate) async fn scores_added_at_once_all_count(s: Store) -> Result<()> {
    together(8, |i| {
        let s = s.clone();
        async move {
            for _ in 0..25 {
                s.zincr_by("k", "shared", 1.0).await?;
                s.zadd("k", i, 5.0).await?;
            }
            Ok(())
        }
    })
    .await?;
    assert_eq!(s.zscore("k", "shared").await?, Some(200.0));
    assert_eq!(s.zcount("k", ..).await?, 9);
    assert_eq!(s.zrange("k").await?.len(), 9);
    Ok(())
}

pub(crate) async fn of_many_zadd_nx_at_once_one_wins(s: Store) -> Result<()> {
    let won =
        together(8, |i| {
            let s = s.clone();
            async move {
                Ok((s.zadd_nx("k", "m", i as f64).await?, s.zhadd_nx("k", "f", i, 9.0).await?))
            }
        })
        .await?;
    let member: Vec<usize> = (0..8).filter(|i| won[*i].0).collect();
    let field: Vec<usize> = (0..8).filter(|i| won[*i].1).collect();
    assert_eq!((member.len(), field.len()), (1, 1), "{won:?}");
    assert_eq!(s.zscore("k", "m").await?, Some(member[0] as f64));
    assert_eq!(s.zhget("k", "f").await?.unwrap().to::<usize>()?, field[0]);
    assert_eq!(s.zcount("k", ..).await?, 2);
    Ok(())
}
