//! Ranges of sorted sets: by score, by member, reversed, limited, counted.

use super::*;
use std::ops::Bound::{self, Excluded, Included, Unbounded};

pub(crate) async fn every_kind_of_score_range_finds_its_members(s: Store) -> Result<()> {
    let scores = [f64::NEG_INFINITY, -1.0, 0.0, 5e-324, 1.0, 1.5, f64::INFINITY];
    for (i, score) in scores.iter().enumerate() {
        s.zadd("k", format!("a{i}"), *score).await?;
        s.zadd("k", format!("b{i}"), *score).await?;
    }
    let mut ends = vec![Unbounded];
    for score in scores.iter().chain(&[-0.5, 0.5, 2.0, f64::MAX]) {
        ends.extend([Included(*score), Excluded(*score)]);
    }
    let mut batch = s.batch();
    let mut asked = Vec::new();
    for min in &ends {
        for max in &ends {
            let range = (*min, *max);
            let count = batch.zcount("k", range);
            let up = batch.zrange("k").by_score(range).with_scores().queue();
            let down = batch.zrange("k").by_score(range).rev().limit(3).queue();
            asked.push((range, count, up, down));
        }
    }
    let mut replies = batch.exec().await?;
    for (range, count, up, down) in asked {
        let mut expected = Vec::new();
        for (i, score) in scores.iter().enumerate() {
            if std::ops::RangeBounds::contains(&range, score) {
                expected.extend([(format!("a{i}"), *score), (format!("b{i}"), *score)]);
            }
        }
        assert_eq!(replies.take(count)?, expected.len() as u64, "{range:?}");
        let found = replies.take(up)?;
        let expected_pairs: Vec<_> =
            expected.iter().map(|(m, s)| (m.as_str().into(), *s)).collect();
        assert_eq!(found, expected_pairs, "{range:?}");
        let last: Vec<_> = expected.iter().rev().take(3).map(|(m, _)| m.as_bytes()).collect();
        assert_eq!(replies.take(down)?, last, "{range:?} reversed");
    }
    Ok(())
}

pub(crate) async fn every_kind_of_lex_range_finds_its_members(s: Store) -> Result<()> {
    let members = [&b"\0"[..], b"a", b"a\0", b"a\0b", b"a\xff", b"b", b"c", b"\xff", b"\xff\xff"];
    for member in members {
        s.zadd("k", member, 0.0).await?;
    }
    let mut ends: Vec<Bound<&[u8]>> = vec![Unbounded];
    for end in members.into_iter().chain([&b""[..], b"aa", b"B", b"\xfe"]) {
        ends.extend([Included(end), Excluded(end)]);
    }
    let mut batch = s.batch();
    let mut asked = Vec::new();
    for min in &ends {
        for max in &ends {
            let range = (*min, *max);
            let count = batch.zlexcount("k", range);
            let up = batch.zrange("k").by_lex(range).queue();
            let down = batch.zrange("k").by_lex(range).rev().limit(2).with_scores().queue();
            asked.push((range, count, up, down));
        }
    }
    let mut replies = batch.exec().await?;
    for (range, count, up, down) in asked {
        let inside = |m: &&[u8]| std::ops::RangeBounds::<&[u8]>::contains(&range, m);
        let expected: Vec<&[u8]> = members.into_iter().filter(inside).collect();
        assert_eq!(replies.take(count)?, expected.len() as u64, "{range:?}");
        assert_eq!(replies.take(up)?, expected, "{range:?}");
        let last: Vec<_> = expected.iter().rev().take(2).map(|m| ((*m).into(), 0.0)).collect();
        assert_eq!(replies.take(down)?, last, "{range:?} reversed");
    }
    Ok(())
}

pub(crate) async fn zlexcount_counts_exclusive_bounds_right(s: Store) -> Result<()> {
    for member in ["a", "c", "e", "g"] {
        s.zadd("k", member, 0.0).await?;
    }
    assert_eq!(s.zlexcount("k", (Excluded("a"), Unbounded)).await?, 3);
    assert_eq!(s.zlexcount("k", .."g").await?, 3);
    assert_eq!(s.zlexcount("k", (Excluded("a"), Excluded("e"))).await?, 1);
    assert_eq!(s.zlexcount("k", (Excluded("a"), Included("f"))).await?, 2);
    assert_eq!(s.zlexcount("k", "a"..="g").await?, 4);
    assert_eq!(s.zlexcount("k", ..).await?, 4);
    Ok(())
}

pub(crate) async fn a_reversed_lex_range_finds_the_least(s: Store) -> Result<()> {
    for member in ["a", "b", "c"] {
        s.zadd("k", member, 0.0).await?;
    }
    assert_eq!(s.zrange("k").by_lex(..="a").rev().await?, ["a"]);
    assert_eq!(s.zrange("k").by_lex("a"..="b").rev().await?, ["b", "a"]);
    Ok(())
}

pub(crate) async fn lex_ranges_do_not_need_the_scores_to_be_zero(s: Store) -> Result<()> {
    for (key, score) in [("pos", 7.5), ("neg", -3.0), ("inf", f64::INFINITY)] {
        for member in ["a", "b", "c", "d"] {
            s.zadd(key, member, score).await?;
        }
        assert_eq!(s.zrange(key).by_lex("b".."d").await?, ["b", "c"], "{key}");
        assert_eq!(s.zlexcount(key, "b"..).await?, 3, "{key}");
    }
    Ok(())
}

pub(crate) async fn lex_ranges_over_mixed_scores_are_harmless(s: Store) -> Result<()> {
    for (member, score) in [("a", 3.0), ("b", 1.0), ("c", 2.0)] {
        s.zhadd("k", member, "v", score).await?;
    }
    // The replies are unspecified, but the reads must not change the set.
    let _ = s.zrange("k").by_lex("a"..="b").await?;
    let _ = s.zrange("k").by_lex(..).rev().limit(2).await?;
    let _ = s.zlexcount("k", "b"..).await?;
    let _ = s.zhrange("k").by_lex("b"..).await?;
    assert_eq!(s.zrange("k").await?, ["b", "c", "a"]);
    Ok(())
}

pub(crate) async fn an_empty_range_answers_nothing(s: Store) -> Result<()> {
    for member in ["a", "b", "c"] {
        s.zadd("k", member, 1.0).await?;
    }
    assert!(s.zrange("k").by_score(2.0..=1.0).await?.is_empty());
    assert!(s.zrange("k").by_score(2.0..=-2.0).rev().with_scores().await?.is_empty());
    assert_eq!(s.zcount("k", 2.0..=0.0).await?, 0);
    assert_eq!(s.zcount("k", 1.0..1.0).await?, 0);
    assert_eq!(s.zcount("k", (Excluded(1.0), Excluded(1.0))).await?, 0);
    assert_eq!(s.zcount("k", (Excluded(f64::INFINITY), Unbounded)).await?, 0);
    assert_eq!(s.zcount("k", ..f64::NEG_INFINITY).await?, 0);
    assert!(s.zrange("k").by_lex("c"..="a").await?.is_empty());
    assert!(s.zhrange("k").by_lex("b".."b").rev().await?.is_empty());
    assert_eq!(s.zlexcount("k", (Excluded("b"), Included("b"))).await?, 0);
    assert_eq!(s.zlexcount("k", "z".."a").await?, 0);
    assert_eq!(s.zcount("k", ..).await?, 3);
    Ok(())
}

pub(crate) async fn limit_counts_from_where_the_order_starts(s: Store) -> Result<()> {
    for i in 0..10 {
        s.zhadd("k", format!("m{i}"), format!("v{i}"), f64::from(i)).await?;
    }
    assert!(s.zrange("k").limit(0).await?.is_empty());
    assert!(s.zrange("k").by_lex(..).rev().limit(0).await?.is_empty());
    assert_eq!(s.zrange("k").limit(2).await?, ["m0", "m1"]);
    assert_eq!(s.zrange("k").rev().limit(2).await?, ["m9", "m8"]);
    assert_eq!(s.zhrange("k").by_score(3.0..).limit(2).await?, ["v3", "v4"]);
    assert_eq!(s.zhrange("k").by_score(..3.0).rev().limit(1).await?, ["v2"]);
    assert_eq!(s.zrange("k").limit(10).await?.len(), 10);
    assert_eq!(s.zrange("k").limit(usize::MAX).await?.len(), 10);
    Ok(())
}

pub(crate) async fn both_ends_exclusive_still_fill_the_limit(s: Store) -> Result<()> {
    for i in 0..30 {
        s.zadd("k", format!("m{i:02}"), 0.0).await?;
        s.zadd("l", format!("m{i:02}"), f64::from(i)).await?;
    }
    let lex = s.zrange("k").by_lex((Excluded("m05"), Excluded("m25"))).limit(10).await?;
    assert_eq!((lex.len(), lex[0].as_str()?, lex[9].as_str()?), (10, "m06", "m15"));
    let rev = s.zrange("k").by_lex((Excluded("m05"), Excluded("m25"))).rev().limit(10).await?;
    assert_eq!((rev.len(), rev[0].as_str()?, rev[9].as_str()?), (10, "m24", "m15"));
    let score = s.zrange("l").by_score((Excluded(5.0), Excluded(25.0))).limit(10).await?;
    assert_eq!((score.len(), score[0].as_str()?), (10, "m06"));
    Ok(())
}

pub(crate) async fn large_sorted_sets_are_read_whole_and_in_order(s: Store) -> Result<()> {
    const N: usize = 1_500;
    let member = |i: usize| format!("{i:05}-{}", "x".repeat(300));
    for chunk in (0..N).collect::<Vec<_>>().chunks(500) {
        let mut batch = s.batch();
        for i in chunk {
            batch.zhadd("k", member(*i), i, (*i / 7) as f64);
        }
        batch.exec().await?;
    }
    let all = s.zrange("k").await?;
    assert_eq!(all.len(), N);
    assert!(all.iter().enumerate().all(|(i, m)| *m == member(i)[..]));
    let values = s.zhrange("k").rev().await?;
    assert!(values.iter().rev().enumerate().all(|(i, v)| *v == i.to_string()[..]));
    assert_eq!(s.zcount("k", 10.0..110.0).await?, 700);
    assert_eq!(s.zlexcount("k", "00100".."00800").await?, 700);
    let some = s.zrange("k").by_score(10.0..110.0).rev().limit(650).await?;
    assert_eq!((some.len(), &some[649]), (650, &member(120).into()));
    Ok(())
}

pub(crate) async fn the_options_of_a_range_come_in_any_order(s: Store) -> Result<()> {
    for i in 0..6 {
        s.zhadd("k", format!("f{i}"), format!("v{i}"), f64::from(i)).await?;
    }
    let (r, expected) = (1.0..5.0, scored(&[("v4", 4.0), ("v3", 3.0)]));
    let range = || s.zhrange("k");
    assert_eq!(range().by_score(r.clone()).rev().limit(2).with_scores().await?, expected);
    assert_eq!(range().with_scores().limit(2).rev().by_score(r.clone()).await?, expected);
    assert_eq!(range().limit(2).with_scores().by_score(r.clone()).rev().await?, expected);
    assert_eq!(range().rev().by_score(r).with_scores().limit(2).await?, expected);
    Ok(())
}

pub(crate) async fn nine_thousand_values_are_read_in_one_range(s: Store) -> Result<()> {
    const N: usize = 9_000;
    for start in (0..N).step_by(1_000) {
        let mut batch = s.batch();
        for i in start..start + 1_000 {
            batch.zhadd("k", format!("{i:04}"), i, 0.0);
        }
        batch.exec().await?;
    }
    let values = s.zhrange("k").await?;
    assert_eq!(values.len(), N);
    assert!(values.iter().enumerate().all(|(i, v)| *v == i.to_string()));
    let last = s.zhrange("k").by_lex("0100"..).rev().limit(8_500).await?;
    assert_eq!((last.len(), &last[8_499]), (8_500, &"500".into()));
    Ok(())
}
