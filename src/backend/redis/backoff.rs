//! [`Backoff`]: exponential backoff with jitter, for attempts that a caller starts.

use crate::backoff::ExponentialBackoff;
use std::time::{Duration, Instant};

/// 50 ms after the first failure in a row, doubling to 1 s.
const DELAYS: ExponentialBackoff =
    ExponentialBackoff::new(Duration::from_millis(50), Duration::from_secs(1));

/// The delays between attempts to connect. Jitter shortens each by up to a half.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Starts the next delay.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.until = Some(Instant::now() + DELAYS.equal_jitter(self.failures));
    }
    pub(super) fn reset(&mut self) {
        *self = Backoff::default();
    }
    /// The rest of the delay; `None` if the next attempt may start.
    pub(super) fn remaining(&self) -> Option<Duration> {
        self.until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_success_ends_them() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.remaining(), None);
        for most in [50, 100, 200, 400, 800, 1_000, 1_000, 1_000] {
            backoff.failed();
            let left = backoff.remaining().unwrap().as_millis();
            // Minus the time that has passed since.
            assert!((most / 2 - 20..=most).contains(&left), "{left} of {most}");
        }
        (0..100).for_each(|_| backoff.failed());
        assert!(backoff.remaining().unwrap() <= DELAYS.max);
        backoff.reset();
        assert_eq!(backoff.remaining(), None);
        backoff.failed();
        assert!(backoff.remaining().unwrap() <= DELAYS.initial);
    }
}
