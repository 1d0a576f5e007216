//! [`ExponentialBackoff`]: how long to wait before a retry.

#![allow(dead_code, reason = "each feature uses a part of it")]

use std::time::Duration;

/// Exponential backoff with jitter. The delay before the first retry is at most `initial`; the
/// bound doubles with every further retry, up to `max`.
///
/// Retries count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExponentialBackoff {
    pub(crate) initial: Duration,
    pub(crate) max: Duration,
}

impl ExponentialBackoff {
    pub(crate) const fn new(initial: Duration, max: Duration) -> Self {
        ExponentialBackoff { initial, max }
    }

    /// The longest delay before this retry.
    pub(crate) fn bound(self, retry: u32) -> Duration {
        let factor = 1_u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX);
        self.initial.saturating_mul(factor).min(self.max)
    }

    /// A random delay between zero and the bound. Clients that failed together retry apart.
    pub(crate) fn full_jitter(self, retry: u32) -> Duration {
        self.bound(retry).mul_f64(fastrand::f64())
    }

    /// A random delay between half the bound and the bound, where a retry must not come at once.
    pub(crate) fn equal_jitter(self, retry: u32) -> Duration {
        let half = self.bound(retry) / 2;
        half + half.mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: ExponentialBackoff =
        ExponentialBackoff::new(Duration::from_millis(50), Duration::from_secs(1));

    #[test]
    fn the_bound_doubles_from_the_initial_delay_to_the_maximum() {
        let bounds: Vec<_> = (1..8).map(|retry| BACKOFF.bound(retry).as_millis()).collect();
        assert_eq!(bounds, [50, 100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(BACKOFF.bound(u32::MAX), BACKOFF.max);
        assert_eq!(BACKOFF.bound(0), BACKOFF.initial);
    }

    #[test]
    fn jitter_stays_within_the_bound() {
        for retry in (1..100).cycle().take(1_000) {
            let bound = BACKOFF.bound(retry);
            assert!(BACKOFF.full_jitter(retry) <= bound);
            assert!((bound / 2..=bound).contains(&BACKOFF.equal_jitter(retry)));
        }
    }

    #[test]
    fn delays_of_any_length_are_possible() {
        let longest = ExponentialBackoff::new(Duration::MAX, Duration::MAX);
        for retry in 1..100 {
            assert!(longest.full_jitter(retry) <= Duration::MAX);
            assert!(longest.equal_jitter(retry) >= Duration::MAX / 2);
        }
    }
}
