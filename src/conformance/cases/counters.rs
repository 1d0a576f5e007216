//! Counters: `incr_by`, and strings of decimal digits.

use super::*;

pub(crate) async fn incr_by_counts_from_zero(s: Store) -> Result<()> {
    assert_eq!(s.incr_by("k", 5).await?, 5);
    assert_eq!(s.incr_by("k", -8).await?, -3);
    assert_eq!(s.incr_by("k", 3).await?, 0);
    assert_eq!(s.get("k").await?.unwrap(), "0");
    Ok(())
}

pub(crate) async fn incr_by_zero_makes_the_counter(s: Store) -> Result<()> {
    assert_eq!(s.incr_by("k", 0).await?, 0);
    assert_eq!(s.get("k").await?.unwrap(), "0");
    assert!(!s.set_nx("k", "x").await?);
    assert!(s.delete("k").await?);
    Ok(())
}

pub(crate) async fn a_counter_reads_as_decimal_text(s: Store) -> Result<()> {
    for n in [5, -1, 1_000_000, i64::MAX, i64::MIN] {
        s.delete("k").await?;
        assert_eq!(s.incr_by("k", n).await?, n);
        let value = s.get("k").await?.unwrap();
        assert_eq!(value, n.to_string()[..]);
        assert_eq!(value.to::<i64>()?, n);
    }
    Ok(())
}

pub(crate) async fn a_string_that_is_canonical_decimal_text_is_a_counter(s: Store) -> Result<()> {
    for text in ["5", "0", "-7", "42", "-1"] {
        s.set("k", text).await?;
        assert_eq!(s.incr_by("k", 1).await?, text.parse::<i64>().unwrap() + 1);
    }
    s.set("k", i64::MAX).await?;
    assert_eq!(s.incr_by("k", -1).await?, i64::MAX - 1);
    s.set("k", "1").await?;
    assert!(s.set_xx("k", "41").await?);
    assert_eq!(s.incr_by("k", 1).await?, 42);
    Ok(())
}

pub(crate) async fn incr_by_of_any_other_string_is_wrong_type(s: Store) -> Result<()> {
    let long = vec![b'1'; 100_000];
    let texts = [
        &b""[..],
        b"x",
        b"+7",
        b"007",
        b"-0",
        b"-07",
        b" 1",
        b"1 ",
        b"1.0",
        b"1e3",
        b"0x1",
        b"--1",
        b"-",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"\xff",
        b"1\0",
        &long,
    ];
    for text in texts {
        s.set("k", text).await?;
        assert_kind(s.incr_by("k", 1).await, ErrorKind::WrongType);
        assert_eq!(s.get("k").await?.unwrap(), *text);
    }
    Ok(())
}

pub(crate) async fn overflow_is_an_error_and_changes_nothing(s: Store) -> Result<()> {
    s.incr_by("up", i64::MAX).await?;
    s.incr_by("down", i64::MIN).await?;
    assert_kind(s.incr_by("up", 1).await, ErrorKind::Overflow);
    assert_kind(s.incr_by("up", i64::MAX).await, ErrorKind::Overflow);
    assert_kind(s.incr_by("down", -1).await, ErrorKind::Overflow);
    assert_eq!(s.get("up").await?.unwrap().to::<i64>()?, i64::MAX);
    assert_eq!(s.get("down").await?.unwrap().to::<i64>()?, i64::MIN);
    assert_eq!(s.incr_by("up", i64::MIN).await?, -1);
    assert_eq!(s.incr_by("down", i64::MAX).await?, -1);
    Ok(())
}

pub(crate) async fn increments_at_once_all_count(s: Store) -> Result<()> {
    together(8, |i| {
        let s = s.clone();
        async move {
            for _ in 0..25 {
                s.incr_by("k", i as i64).await?;
            }
            Ok(())
        }
    })
    .await?;
    assert_eq!(s.get("k").await?.unwrap().to::<i64>()?, 25 * (1..8).sum::<i64>());
    Ok(())
}
