//! This library compared with the bare SDK, for the same requests. Both get their responses in this
//! process, so only the client is measured: serializing, signing, retrying and parsing.

mod compare;
#[path = "../tests/support/mod.rs"]
mod support;

use allocation_counter::measure;
use support::dynamodb_work::{LARGE, ROWS, Work};

fn main() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let work = runtime.block_on(Work::new());
    compare::print_title(1);
    for row in ROWS.into_iter().chain([LARGE]).filter(|row| compare::picked(row)) {
        let calls = if row.starts_with("batch") { 64 } else { 640 };
        local.block_on(&runtime, work.fill(row));
        let (o, b) = (work.clone(), work.clone());
        let ours = move |_| {
            let work = o.clone();
            async move { work.ours(row).await }
        };
        let bare = move |_| {
            let work = b.clone();
            async move { work.bare(row).await }
        };
        let costs = local.block_on(&runtime, compare::both(1, calls, ours.clone(), bare.clone()));
        compare::print_row(row, costs);
        let count =
            |call: &mut dyn FnMut()| measure(|| (0..10).for_each(|_| call())).count_total / 10;
        let of_ours = count(&mut || local.block_on(&runtime, ours(0)));
        let of_bare = count(&mut || local.block_on(&runtime, bare(0)));
        println!(
            "{:<26}{of_ours:>10}{of_bare:>10}{:>8.2}",
            "  allocations",
            of_ours as f64 / of_bare as f64
        );
    }
}
