//! Asserts how often calls allocate: absolutely in memory, compared with the bare client elsewhere.
//! In one binary, as each binary links all clients.

#[cfg(feature = "dynamodb")]
mod dynamodb;
mod memory;
#[cfg(feature = "redis")]
mod redis;
#[path = "../support/mod.rs"]
mod support;
#[cfg(all(
    feature = "cache",
    feature = "retry",
    feature = "timeout",
    feature = "metrics",
    feature = "tracing"
))]
mod wrap;

use allocation_counter::measure;
use futures_util::FutureExt;

/// 100 bytes.
const VALUE: &str = concat!(
    "01234567890123456789012345678901234567890123456789",
    "01234567890123456789012345678901234567890123456789"
);

/// The result of a call. The futures of the memory backend are always ready.
fn now<T>(future: impl Future<Output = keyvaluestore::Result<T>>) -> T {
    future.now_or_never().expect("memory does not wait").expect("the call succeeds")
}

#[track_caller]
fn at_most<T>(most: u64, what: &str, call: impl FnOnce() -> T) {
    let mut result = None;
    let counted = measure(|| result = Some(call()));
    drop(result);
    println!("{what}: {} allocations", counted.count_total);
    assert!(counted.count_total <= most, "{what}: {} allocations, not {most}", counted.count_total);
}
