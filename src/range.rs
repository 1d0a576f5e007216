//! [`Range`]: a part of a sorted set, selected by score or by member.

use crate::score::Score;
use crate::{Result, ToValue, Value};
use std::ops::{
    Bound, Range as HalfOpen, RangeBounds, RangeFrom, RangeFull, RangeInclusive, RangeTo,
    RangeToInclusive,
};

/// A range of scores, as in Redis's `ZRANGE … BYSCORE`. An excluded end is Redis's `(`, an
/// unbounded one `-inf` or `+inf`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ScoreRange {
    /// The lower end.
    pub min: Bound<Score>,
    /// The upper end.
    pub max: Bound<Score>,
}

impl ScoreRange {
    /// Every score.
    pub const ALL: ScoreRange = ScoreRange { min: Bound::Unbounded, max: Bound::Unbounded };

    /// Converts any Rust range of `f64`: `..`, `1.0..=2.0`,
    /// `(Bound::Excluded(1.0), Bound::Unbounded)`.
    ///
    /// # Errors
    /// `InvalidArgument` if an end is NaN.
    pub fn new(range: impl RangeBounds<f64>) -> Result<Self> {
        Ok(ScoreRange {
            min: try_map(range.start_bound(), |s| Score::new(*s))?,
            max: try_map(range.end_bound(), |s| Score::new(*s))?,
        })
    }
    /// The same range as `first <= score < end`, or `None` if it contains no score. Without an
    /// `end` the range has no upper bound. Every range has this form, because every score has a
    /// successor ([`Score::next_up`]).
    pub fn half_open(&self) -> Option<(Score, Option<Score>)> {
        let first = match self.min {
            Bound::Unbounded => Score::MIN,
            Bound::Included(min) => min,
            Bound::Excluded(min) => min.next_up()?,
        };
        let end = match self.max {
            Bound::Unbounded => None,
            Bound::Included(max) => max.next_up(),
            Bound::Excluded(max) => Some(max),
        };
        (end.is_none_or(|end| first < end)).then_some((first, end))
    }
}

/// A range of members in the order of their bytes, as in Redis's `ZRANGE … BYLEX`. The result is
/// specified only if all members of the sorted set have the same score.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LexRange {
    /// The lower end.
    pub min: Bound<Value>,
    /// The upper end.
    pub max: Bound<Value>,
}

impl LexRange {
    /// Every member.
    pub const ALL: LexRange = LexRange { min: Bound::Unbounded, max: Bound::Unbounded };

    /// Whether the range contains no member.
    pub fn is_empty(&self) -> bool {
        use Bound::*;
        match (&self.min, &self.max) {
            (Included(min), Included(max)) => min > max,
            (Included(min) | Excluded(min), Included(max) | Excluded(max)) => min >= max,
            _ => false,
        }
    }
}

fn try_map<T, U>(bound: Bound<T>, f: impl FnOnce(T) -> Result<U>) -> Result<Bound<U>> {
    Ok(match bound {
        Bound::Included(x) => Bound::Included(f(x)?),
        Bound::Excluded(x) => Bound::Excluded(f(x)?),
        Bound::Unbounded => Bound::Unbounded,
    })
}

/// A Rust range of text or bytes: `..`, `"a".."b"`, `b"a"..=b"b"`, or a pair of [`Bound`]s.
// Not `RangeBounds<T>`: for `..` the compiler could not infer `T`.
pub trait ToLexRange {
    /// Converts the range.
    ///
    /// # Errors
    /// The error of [`ToValue::to_value`] for an end that cannot be converted.
    fn to_lex_range(&self) -> Result<LexRange>;
}

fn lex<T: ToValue>(range: &impl RangeBounds<T>) -> Result<LexRange> {
    Ok(LexRange {
        min: try_map(range.start_bound(), ToValue::to_value)?,
        max: try_map(range.end_bound(), ToValue::to_value)?,
    })
}

impl ToLexRange for RangeFull {
    fn to_lex_range(&self) -> Result<LexRange> {
        Ok(LexRange::ALL)
    }
}
impl ToLexRange for LexRange {
    fn to_lex_range(&self) -> Result<LexRange> {
        Ok(self.clone())
    }
}
macro_rules! to_lex_range {
    ($($range:ty),*) => {$(
        impl<T: ToValue> ToLexRange for $range {
            fn to_lex_range(&self) -> Result<LexRange> {
                lex::<T>(self)
            }
        }
    )*};
}
to_lex_range!(
    HalfOpen<T>,
    RangeInclusive<T>,
    RangeFrom<T>,
    RangeTo<T>,
    RangeToInclusive<T>,
    (Bound<T>, Bound<T>)
);

/// The part of a sorted set that a read selects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // a third way to sort is a new data type
pub enum Range {
    /// By score.
    Score(ScoreRange),
    /// By member, if all scores are equal. Boxed, so that reads without such a range stay small.
    Lex(Box<LexRange>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use Bound::*;

    #[test]
    fn half_open_keeps_exactly_the_scores_of_the_range() {
        let scores = [f64::NEG_INFINITY, -1.0, -5e-324, 0.0, 5e-324, 1.0, f64::INFINITY];
        let mut bounds = vec![Unbounded];
        bounds.extend(scores.iter().flat_map(|s| [Included(*s), Excluded(*s)]));
        for &min in &bounds {
            for &max in &bounds {
                let half_open = ScoreRange::new((min, max)).unwrap().half_open();
                for s in scores {
                    let expected = (min, max).contains(&s);
                    let score = Score::new(s).unwrap();
                    let is = half_open
                        .is_some_and(|(lo, hi)| lo <= score && hi.is_none_or(|hi| score < hi));
                    assert_eq!(is, expected, "{s} in {min:?}..{max:?}");
                }
            }
        }
    }

    #[test]
    fn ranges_of_members_are_written_as_ranges() {
        assert_eq!((..).to_lex_range().unwrap(), LexRange::ALL);
        let range = ("a"..="b").to_lex_range().unwrap();
        assert_eq!((range.min, range.max), (Included("a".into()), Included("b".into())));
        assert!(("b".."a").to_lex_range().unwrap().is_empty());
        assert!(("a".."a").to_lex_range().unwrap().is_empty());
        assert!((Excluded("a"), Included("a")).to_lex_range().unwrap().is_empty());
        assert!(!("a"..="a").to_lex_range().unwrap().is_empty());
    }
}
