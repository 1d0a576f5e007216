//! [`Score`]: an `f64` with a total order.

use crate::{Error, Result};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// The score of a sorted-set member: an `f64`, as in Redis, infinities included. It is never NaN
/// and never `-0.0`, so that scores have a total order and equal scores have equal bits.
#[derive(Clone, Copy, Debug)]
pub struct Score(f64);

impl Score {
    /// The lowest score.
    pub const MIN: Score = Score(f64::NEG_INFINITY);
    /// The highest score.
    pub const MAX: Score = Score(f64::INFINITY);

    /// Makes a score of any number except NaN; `-0.0` becomes `0.0`.
    ///
    /// # Errors
    /// `InvalidArgument` for NaN.
    #[inline]
    pub fn new(score: f64) -> Result<Self> {
        if score.is_nan() {
            return Err(Error::invalid("a score cannot be NaN"));
        }
        Ok(Score(score + 0.0)) // -0.0 + 0.0 is 0.0; every other number is unchanged
    }
    /// The number.
    #[inline]
    pub fn get(self) -> f64 {
        self.0
    }
    /// The lowest score above this one, or `None` for [`Score::MAX`].
    pub fn next_up(self) -> Option<Score> {
        (self.0 < f64::INFINITY).then(|| Score(self.0.next_up() + 0.0))
    }
}

impl From<Score> for f64 {
    fn from(score: Score) -> f64 {
        score.0
    }
}
impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Score {}
impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Score {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0) // numeric order, without NaN and `-0.0`
    }
}
impl Hash for Score {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_one_sign_and_nan_no_score() {
        assert_eq!(Score::new(-0.0).unwrap().get().to_bits(), 0);
        let below = Score::new(-5e-324).unwrap();
        assert_eq!(below.next_up().unwrap().get().to_bits(), 0);
        assert!(Score::new(f64::NAN).is_err());
    }
}
