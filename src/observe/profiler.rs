//! [`Profiler`]: counts and times calls, and their round trips, retries and consumed capacity.
//!
//! Each call has an observer of its own, a [`CallRecorder`], which records the events of that call
//! alone. When the call ends, its record is added to the profile of the call's name.

use super::histogram::Histogram;
use super::{CallSummary, ConsumedCapacity, Observer};
use crate::ErrorKind;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts and times calls, and their round trips, retries and consumed capacity, by backend and
/// name of the call.
///
/// Use it with [`Store::with_profiler`](crate::Store::with_profiler), or with
/// [`Observed`](crate::wrap::Observed) below other wrappers. Clones share their counts. `Display`
/// prints it as a table.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::Store;
/// use keyvaluestore::observe::Profiler;
/// let profiler = Profiler::new();
/// let store = Store::memory().with_profiler(&profiler);
/// store.set("k", "v").await?;
/// store.get("k").await?;
/// store.incr_by("k", 1).await.unwrap_err();
/// let calls = profiler.calls();
/// assert_eq!(calls.iter().map(|call| call.name).collect::<Vec<_>>(), ["get", "incr_by", "set"]);
/// assert_eq!((calls[1].calls, calls[1].errors), (1, 1));
/// println!("{profiler}");
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Profiler(Arc<Mutex<Calls>>);

type Calls = BTreeMap<(Option<&'static str>, &'static str), CallProfile>;

/// The calls of one name to one backend, from [`Profiler::calls`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CallProfile {
    /// The backend. `None` if no request was sent, as for a hit of a cache.
    pub backend: Option<&'static str>,
    /// The name of the method: `get`, `batch`, `atomic_write`.
    pub name: &'static str,
    /// How many calls ended.
    pub calls: u64,
    /// How many operations they had.
    pub operations: u64,
    /// How many calls failed. A batch counts as one if any of its operations failed.
    pub errors: u64,
    /// How many futures were dropped before they completed.
    pub cancelled: u64,
    /// The total time of the calls.
    pub time: Duration,
    /// The distribution of the time of a call.
    pub latency: Histogram,
    /// Requests to the storage system.
    pub round_trips: u64,
    /// The total time of the requests.
    pub round_trip_time: Duration,
    /// Requests that were retried.
    pub retries: u64,
    /// How often the storage system throttled a request, retried or not.
    pub throttles: u64,
    /// How often a request conflicted with another write, retried or not.
    pub conflicts: u64,
    /// The consumed capacity, by table and index (`None`: the table itself).
    pub capacity: BTreeMap<(String, Option<String>), CapacityUnits>,
}

/// Consumed capacity units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CapacityUnits {
    /// Read capacity units.
    pub read: f64,
    /// Write capacity units.
    pub write: f64,
}

impl CallProfile {
    fn add(&mut self, other: &CallProfile) {
        self.calls += other.calls;
        self.operations += other.operations;
        self.errors += other.errors;
        self.cancelled += other.cancelled;
        self.time += other.time;
        self.latency.add(&other.latency);
        self.round_trips += other.round_trips;
        self.round_trip_time += other.round_trip_time;
        self.retries += other.retries;
        self.throttles += other.throttles;
        self.conflicts += other.conflicts;
        for (table, used) in &other.capacity {
            self.add_capacity(table.clone(), used.read, used.write);
        }
    }
    fn add_capacity(&mut self, table: (String, Option<String>), read: f64, write: f64) {
        let sum = self.capacity.entry(table).or_default();
        sum.read += read;
        sum.write += write;
    }
    fn count_error(&mut self, kind: ErrorKind) {
        self.throttles += u64::from(kind == ErrorKind::Throttled);
        self.conflicts += u64::from(kind == ErrorKind::Conflict);
    }
    /// The sum over all tables and indexes.
    pub fn capacity_total(&self) -> CapacityUnits {
        self.capacity.values().fold(CapacityUnits::default(), |sum, used| CapacityUnits {
            read: sum.read + used.read,
            write: sum.write + used.write,
        })
    }
}

impl Profiler {
    /// A profiler with all counts at zero.
    pub fn new() -> Self {
        Profiler::default()
    }
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The profiles of all calls so far, by backend and name.
    pub fn calls(&self) -> Vec<CallProfile> {
        self.lock().values().cloned().collect()
    }
    /// The sum of all profiles.
    pub fn total(&self) -> CallProfile {
        let mut total = CallProfile { name: "total", ..CallProfile::default() };
        self.lock().values().for_each(|call| total.add(call));
        total
    }
    /// Returns the profiles so far, and resets them.
    pub fn take(&self) -> Vec<CallProfile> {
        std::mem::take(&mut *self.lock()).into_values().collect()
    }
}

impl Profiler {
    /// An observer that counts calls under `backend`, if that runs in this process and so sends no
    /// request that names it.
    pub(crate) fn observer_of(&self, backend: Option<&'static str>) -> Arc<dyn Observer> {
        match backend {
            None => Arc::new(self.clone()),
            Some(_) => Arc::new(LocalProfiler { profiler: self.clone(), backend }),
        }
    }
    fn recorder(&self, backend: Option<&'static str>) -> Arc<dyn Observer> {
        let profile = CallProfile { backend, ..CallProfile::default() };
        Arc::new(CallRecorder { profiler: self.clone(), profile: Mutex::new(profile) })
    }
}

impl Observer for Profiler {
    fn on_call_start(&self, _: &'static str) -> Option<Arc<dyn Observer>> {
        Some(self.recorder(None))
    }
}

/// A profiler of a store whose backend runs in this process.
#[derive(Debug)]
struct LocalProfiler {
    profiler: Profiler,
    backend: Option<&'static str>,
}

impl Observer for LocalProfiler {
    fn on_call_start(&self, _: &'static str) -> Option<Arc<dyn Observer>> {
        Some(self.profiler.recorder(self.backend))
    }
}

/// Records the events of one call.
#[derive(Debug)]
struct CallRecorder {
    profiler: Profiler,
    profile: Mutex<CallProfile>,
}

impl CallRecorder {
    fn lock(&self, backend: Option<&'static str>) -> MutexGuard<'_, CallProfile> {
        let mut profile = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        profile.backend = profile.backend.or(backend);
        profile
    }
}

impl Observer for CallRecorder {
    fn on_round_trip(&self, backend: &'static str, _: &'static str, took: Duration) {
        let mut profile = self.lock(Some(backend));
        profile.round_trips += 1;
        profile.round_trip_time += took;
    }
    fn on_retry(&self, backend: Option<&'static str>, because: ErrorKind) {
        let mut profile = self.lock(backend);
        profile.retries += 1;
        profile.count_error(because);
    }
    fn on_capacity(&self, backend: &'static str, used: &ConsumedCapacity<'_>) {
        let table = (used.table.to_owned(), used.index.map(str::to_owned));
        self.lock(Some(backend)).add_capacity(table, used.read, used.write);
    }
    fn on_call_end(&self, call: &CallSummary) {
        let mut profile = std::mem::take(&mut *self.lock(None));
        profile.calls = 1;
        profile.operations = call.operations as u64;
        profile.errors = u64::from(call.error.is_some());
        profile.cancelled = u64::from(call.cancelled);
        profile.time = call.took;
        if let Some(kind) = call.error {
            profile.count_error(kind);
        }
        let mut calls = self.profiler.lock();
        let (backend, name) = (profile.backend, call.name);
        let empty = || CallProfile { backend, name, ..CallProfile::default() };
        let sum = calls.entry((backend, name)).or_insert_with(empty);
        sum.add(&profile);
        // Recorded in the sum only: a histogram is two kilobytes.
        sum.latency.record(call.took);
    }
}

impl fmt::Display for Profiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:<12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>10} {:>10}",
            "backend",
            "call",
            "calls",
            "errors",
            "median",
            "99%",
            "trips",
            "retries",
            "throttles",
            "conflicts",
            "read",
            "write"
        )?;
        for call in self.calls() {
            let capacity = call.capacity_total();
            writeln!(
                f,
                "{:<12} {:<12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>10.1} {:>10.1}",
                call.backend.unwrap_or("-"),
                call.name,
                call.calls,
                call.errors,
                three_digits(call.latency.quantile(0.5)),
                three_digits(call.latency.quantile(0.99)),
                call.round_trips,
                call.retries,
                call.throttles,
                call.conflicts,
                capacity.read,
                capacity.write
            )?;
        }
        Ok(())
    }
}

/// `850ns`, `1.23ms`, `45.6s`: three digits, which is more than the precision of the histogram.
fn three_digits(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (number, unit) = match time.as_nanos() {
        0..1_000 => return format!("{}ns", time.as_nanos()),
        1_000..1_000_000 => (seconds * 1e6, "µs"),
        1_000_000..1_000_000_000 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    let decimals = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_three_digits() {
        for (time, text) in [
            (Duration::ZERO, "0ns"),
            (Duration::from_nanos(850), "850ns"),
            (Duration::from_nanos(1_234), "1.23µs"),
            (Duration::from_micros(45_678), "45.7ms"),
            (Duration::from_millis(456), "456ms"),
            (Duration::from_secs_f64(1.234_567_891), "1.23s"),
            (Duration::from_secs(3_600), "3600s"),
        ] {
            assert_eq!(three_digits(time), text);
        }
    }

    /// A median of 1.234567891s once left no space before it.
    #[test]
    fn the_columns_of_the_table_stand_apart() {
        let profiler = Profiler::new();
        for name in ["get", "atomic_write"] {
            let recorder = profiler.recorder(Some("foundationdb"));
            recorder.on_round_trip("foundationdb", "commit", Duration::from_secs(1));
            recorder.on_call_end(&CallSummary {
                name,
                operations: 1,
                failed: 0,
                error: None,
                cancelled: false,
                took: Duration::from_nanos(123_456_789_123),
            });
        }
        let table = profiler.to_string();
        let mut lines = table.lines();
        let columns = lines.next().unwrap().split_whitespace().count();
        for line in lines {
            assert_eq!(line.split_whitespace().count(), columns, "{line}");
        }
    }
}
