//! [`Histogram`]: counts durations in logarithmic buckets: 12.5 % relative error, two kilobytes.

use std::fmt;
use std::time::Duration;

/// Buckets per doubling.
const PARTS: u32 = 4;
const BUCKETS: usize = (64 * PARTS) as usize;

/// Counts durations in logarithmic buckets, four per doubling, so a quantile has a relative error
/// of at most 12.5 %.
///
/// `Display` prints it as a bar chart:
///
/// ```
/// use keyvaluestore::observe::Histogram;
/// use std::time::Duration;
/// let mut latency = Histogram::default();
/// for micros in [8, 8, 8, 9, 17, 40] {
///     latency.record(Duration::from_micros(micros));
/// }
/// assert_eq!(latency.count(), 6);
/// let median = latency.quantile(0.5);
/// assert!(median >= Duration::from_micros(7) && median <= Duration::from_micros(9));
/// println!("{latency}");
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Histogram {
    // Empty until something is recorded.
    buckets: Vec<u64>,
}

/// The bucket of a duration in nanoseconds.
fn histogram_index(nanos: u64) -> usize {
    let nanos = nanos.max(u64::from(PARTS));
    let doublings = nanos.ilog2();
    let part = (nanos >> (doublings - 2)) as u32 % PARTS;
    (doublings * PARTS + part) as usize
}
/// The lower bound of a bucket.
fn lower_bound(bucket: usize) -> Duration {
    let (doublings, part) = (bucket as u32 / PARTS, bucket as u32 % PARTS);
    let nanos = u128::from(PARTS + part) << doublings.saturating_sub(2);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, took: Duration) {
        if self.buckets.is_empty() {
            self.buckets = vec![0; BUCKETS];
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[histogram_index(nanos)] += 1;
    }
    pub(super) fn add(&mut self, other: &Histogram) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
        } else {
            self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, n)| *sum += n);
        }
    }
    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
    /// The quantile `q` (0 to 1), with a relative error of at most 12.5 %. 0 if nothing was
    /// counted.
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = self.buckets.iter().position(|n| {
            seen += n;
            seen >= rank
        });
        reached.map_or(Duration::ZERO, |bucket| {
            let (from, to) = (lower_bound(bucket), lower_bound(bucket + 1));
            from + (to - from) / 2
        })
    }
    /// The buckets from the first to the last that is not empty: lower bound, upper bound
    /// (exclusive) and count.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, Duration, u64)> + '_ {
        let first = self.buckets.iter().position(|n| *n > 0).unwrap_or(0);
        let end = self.buckets.iter().rposition(|n| *n > 0).map_or(0, |last| last + 1);
        (first..end).map(|i| (lower_bound(i), lower_bound(i + 1), self.buckets[i]))
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.buckets.iter().copied().max().unwrap_or(0).max(1);
        for (from, _, n) in self.buckets() {
            let bar = "█".repeat((n * 50).div_ceil(most) as usize);
            writeln!(f, "{:>12} {n:>8} {bar}", format!("{from:.1?}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("median", &self.quantile(0.5))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_within_its_bucket() {
        for nanos in (4..10_000).chain([u64::MAX / 2, 1 << 40]) {
            let i = histogram_index(nanos);
            assert!(lower_bound(i) <= Duration::from_nanos(nanos), "{nanos}");
            assert!(Duration::from_nanos(nanos) < lower_bound(i + 1), "{nanos}");
        }
        for nanos in [u64::MAX - 1, u64::MAX / 8 * 7, u64::MAX / 4 * 3] {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_nanos(nanos));
            let (from, to, n) = histogram.buckets().next().unwrap();
            assert!(from <= Duration::from_nanos(nanos) && Duration::from_nanos(nanos) < to);
            assert!(n == 1 && (from..to).contains(&histogram.quantile(0.5)));
        }
        assert_eq!(histogram_index(0), histogram_index(4));
        assert!(histogram_index(u64::MAX) < BUCKETS);
    }
}
