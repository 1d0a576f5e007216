//! [`Histogram`]: how often something took how long, to an eighth, in two kilobytes.

use std::fmt;
use std::time::Duration;

/// Parts of each doubling.
const PARTS: u32 = 4;
const BUCKETS: usize = (64 * PARTS) as usize;

/// How often something took how long. Each doubling of the time has four parts, so what it tells is
/// right to within an eighth.
///
/// It prints itself as a picture:
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

/// The bucket of so many nanoseconds.
fn bucket(nanos: u64) -> usize {
    let nanos = nanos.max(u64::from(PARTS));
    let doublings = nanos.ilog2();
    let part = (nanos >> (doublings - 2)) as u32 % PARTS;
    (doublings * PARTS + part) as usize
}
/// Where it begins.
fn start(bucket: usize) -> Duration {
    let (doublings, part) = (bucket as u32 / PARTS, bucket as u32 % PARTS);
    let nanos = u128::from(PARTS + part) << doublings.saturating_sub(2);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Histogram {
    /// Counts one more.
    pub fn record(&mut self, took: Duration) {
        if self.buckets.is_empty() {
            self.buckets = vec![0; BUCKETS];
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
    }
    pub(super) fn add(&mut self, other: &Histogram) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
        } else {
            self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, n)| *sum += n);
        }
    }
    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
    /// The time that the part `q` of them (0 to 1) did not exceed, to within an eighth; 0 if
    /// nothing was counted.
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = self.buckets.iter().position(|n| {
            seen += n;
            seen >= rank
        });
        reached.map_or(Duration::ZERO, |bucket| {
            start(bucket) + (start(bucket + 1) - start(bucket)) / 2
        })
    }
    /// From, to (exclusive) and how many, from the first that is not empty to the last.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, Duration, u64)> + '_ {
        let first = self.buckets.iter().position(|n| *n > 0).unwrap_or(0);
        let end = self.buckets.iter().rposition(|n| *n > 0).map_or(0, |last| last + 1);
        (first..end).map(|i| (start(i), start(i + 1), self.buckets[i]))
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
            let i = bucket(nanos);
            assert!(start(i) <= Duration::from_nanos(nanos), "{nanos}");
            assert!(Duration::from_nanos(nanos) < start(i + 1), "{nanos}");
        }
        for nanos in [u64::MAX - 1, u64::MAX / 8 * 7, u64::MAX / 4 * 3] {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_nanos(nanos));
            let (from, to, n) = histogram.buckets().next().unwrap();
            assert!(from <= Duration::from_nanos(nanos) && Duration::from_nanos(nanos) < to);
            assert!(n == 1 && (from..to).contains(&histogram.quantile(0.5)));
        }
        assert_eq!(bucket(0), bucket(4));
        assert!(bucket(u64::MAX) < BUCKETS);
    }
}
