//! Allocations of a call to Redis, compared with the same work on the client library alone.

use crate::support::redis_work::{Bare, Ours, ROWS, fill};
use allocation_counter::measure;

#[test]
fn a_call_takes_at_most_4_allocations_more_than_the_bare_client() {
    let url = crate::support::redis::database();
    // One thread: the counter is per thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ours, bare) = runtime.block_on(async {
        fill(&url).await;
        (Ours::new(&url).await, Bare::new(&url).await)
    });
    for row in ROWS {
        const CALLS: usize = 50;
        let count = |call: &dyn Fn(usize)| {
            (0..10).for_each(call); // warm-up: buffers grow, scripts are loaded
            measure(|| (10..10 + CALLS).for_each(call)).count_total as f64 / CALLS as f64
        };
        let ours = count(&|i| runtime.block_on(ours.call(row, i)));
        let bare = count(&|i| runtime.block_on(bare.call(row, i)));
        println!("{row:<20} {ours:.1} allocations, bare {bare:.1}");
        assert!(ours <= bare + 4.0, "{row}: {ours} allocations, and {bare} of the bare client");
    }
}
