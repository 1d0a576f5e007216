//! Counts the allocations of a call, compared with the same request through the bare SDK.

use crate::support::dynamodb_work::{LARGE, ROWS, Work};
use allocation_counter::measure;

#[test]
fn a_call_allocates_at_most_a_tenth_more_than_the_bare_sdk() {
    // A single thread, as allocations are counted per thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = runtime.block_on(Work::new());
    let mut over = Vec::new();
    for row in ROWS.into_iter().chain([LARGE]) {
        const CALLS: usize = 20;
        runtime.block_on(work.fill(row));
        let count = |call: &dyn Fn()| {
            work.forget();
            (0..5).for_each(|_| call()); // until everything has grown that grows
            measure(|| (0..CALLS).for_each(|_| call())).count_total as f64 / CALLS as f64
        };
        let ours = count(&|| runtime.block_on(work.ours(row)));
        let bare = count(&|| runtime.block_on(work.bare(row)));
        println!("{row:<20} {ours:.1} allocations, bare {bare:.1}: {:.2}", ours / bare);
        if ours > bare * 1.1 {
            over.push(row);
        }
    }
    assert!(over.is_empty(), "more than a tenth above the bare SDK: {over:?}");
}
