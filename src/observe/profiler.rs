//! [`Profiler`]: counts and times calls, and what they cost inside the backend.
//!
//! Every call gets an ear of its own, which hears what happens inside the backend for that call
//! alone, and is added up under the name of the call when it ends.

use super::histogram::Histogram;
use super::{CallSummary, ConsumedCapacity, Observer};
use crate::ErrorKind;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts and times calls, and what they cost inside the backend, by backend and call.
///
/// For [`Store::with_profiler`](crate::Store::with_profiler), or
/// [`Observed`](crate::wrap::Observed) at another place. Clones count together. It prints itself as
/// a table.
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

/// What the calls of one name to one backend have cost. From [`Profiler::calls`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CallProfile {
    /// The backend that was asked; `None` where nothing was sent, as a cache had the answer.
    pub backend: Option<&'static str>,
    /// The name of the method: `get`, `batch`, `atomic_write`.
    pub name: &'static str,
    /// How many calls have ended.
    pub calls: u64,
    /// How many operations they carried.
    pub operations: u64,
    /// How many calls have failed, a batch if any of it has.
    pub errors: u64,
    /// How many futures were dropped before they were done.
    pub cancelled: u64,
    /// How long all of them took together.
    pub time: Duration,
    /// How long each of them took.
    pub latency: Histogram,
    /// Requests to the storage system.
    pub round_trips: u64,
    /// How long those took together.
    pub round_trip_time: Duration,
    /// Requests that were sent again.
    pub retries: u64,
    /// How often the storage system was asked for more than it is provisioned for: sent again or
    /// given up.
    pub throttles: u64,
    /// How often other writes got in the way: sent again or given up.
    pub conflicts: u64,
    /// What was consumed, by table and index (`None`: the table itself).
    pub capacity: BTreeMap<(String, Option<String>), CapacityUnits>,
}

/// Units of capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CapacityUnits {
    /// Units of reading.
    pub read: f64,
    /// Units of writing.
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
        for (place, used) in &other.capacity {
            let sum = self.capacity.entry(place.clone()).or_default();
            sum.read += used.read;
            sum.write += used.write;
        }
    }
    fn failed(&mut self, kind: ErrorKind) {
        self.throttles += u64::from(kind == ErrorKind::Throttled);
        self.conflicts += u64::from(kind == ErrorKind::Conflict);
    }
    /// What all tables and indexes have charged together.
    pub fn capacity_total(&self) -> CapacityUnits {
        self.capacity.values().fold(CapacityUnits::default(), |sum, used| CapacityUnits {
            read: sum.read + used.read,
            write: sum.write + used.write,
        })
    }
}

impl Profiler {
    /// One that has counted nothing.
    pub fn new() -> Self {
        Profiler::default()
    }
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// What was counted until now, by backend and name.
    pub fn calls(&self) -> Vec<CallProfile> {
        self.lock().values().cloned().collect()
    }
    /// All of it together.
    pub fn total(&self) -> CallProfile {
        let mut total = CallProfile { name: "total", ..CallProfile::default() };
        self.lock().values().for_each(|call| total.add(call));
        total
    }
    /// Begins anew, and answers what was counted until now.
    pub fn take(&self) -> Vec<CallProfile> {
        std::mem::take(&mut *self.lock()).into_values().collect()
    }
}

impl Profiler {
    /// Counts calls under the name of `backend`, if it answers in this process and no request names
    /// it.
    pub(crate) fn observer_of(&self, backend: Option<&'static str>) -> Arc<dyn Observer> {
        match backend {
            None => Arc::new(self.clone()),
            Some(_) => Arc::new(CallsTo { profiler: self.clone(), backend }),
        }
    }
    fn listen(&self, backend: Option<&'static str>) -> Arc<dyn Observer> {
        let heard = CallProfile { backend, ..CallProfile::default() };
        Arc::new(Ear { profiler: self.clone(), heard: Mutex::new(heard) })
    }
}

impl Observer for Profiler {
    fn on_call_start(&self, _: &'static str) -> Option<Arc<dyn Observer>> {
        Some(self.listen(None))
    }
}

/// A profiler of a store whose backend answers in this process.
#[derive(Debug)]
struct CallsTo {
    profiler: Profiler,
    backend: Option<&'static str>,
}

impl Observer for CallsTo {
    fn on_call_start(&self, _: &'static str) -> Option<Arc<dyn Observer>> {
        Some(self.profiler.listen(self.backend))
    }
}

/// Hears one call.
#[derive(Debug)]
struct Ear {
    profiler: Profiler,
    heard: Mutex<CallProfile>,
}

impl Ear {
    fn heard(&self, backend: Option<&'static str>) -> MutexGuard<'_, CallProfile> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.backend = heard.backend.or(backend);
        heard
    }
}

impl Observer for Ear {
    fn on_round_trip(&self, backend: &'static str, _: &'static str, took: Duration) {
        let mut heard = self.heard(Some(backend));
        heard.round_trips += 1;
        heard.round_trip_time += took;
    }
    fn on_retry(&self, backend: Option<&'static str>, because: ErrorKind) {
        let mut heard = self.heard(backend);
        heard.retries += 1;
        heard.failed(because);
    }
    fn on_capacity(&self, backend: &'static str, used: &ConsumedCapacity<'_>) {
        let mut heard = self.heard(Some(backend));
        let place = (used.table.to_owned(), used.index.map(str::to_owned));
        let sum = heard.capacity.entry(place).or_default();
        sum.read += used.read;
        sum.write += used.write;
    }
    fn on_call_end(&self, call: &CallSummary) {
        let mut heard =
            std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        heard.calls = 1;
        heard.operations = call.operations as u64;
        heard.errors = u64::from(call.error.is_some());
        heard.cancelled = u64::from(call.cancelled);
        heard.time = call.took;
        if let Some(kind) = call.error {
            heard.failed(kind);
        }
        let mut calls = self.profiler.lock();
        let sum = calls.entry((heard.backend, call.name)).or_insert_with(|| CallProfile {
            backend: heard.backend,
            name: call.name,
            ..CallProfile::default()
        });
        sum.add(&heard);
        // Into the sum at once: a histogram is two kilobytes.
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

/// `850ns`, `1.23ms`, `45.6s`: three digits say as much as the histogram knows.
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

    /// A median of 1.234567891s once stood against the number before it.
    #[test]
    fn the_columns_of_the_table_stand_apart() {
        let profiler = Profiler::new();
        for name in ["get", "atomic_write"] {
            let ear = profiler.listen(Some("foundationdb"));
            ear.on_round_trip("foundationdb", "commit", Duration::from_secs(1));
            ear.on_call_end(&CallSummary {
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
