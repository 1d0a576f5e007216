//! FoundationDB through this library compared with the bare crate: the same reads and writes on the
//! same cluster of one process. Wall time is mostly the server's. Processor time is that of this
//! process, including the client's network thread.

mod compare;
#[path = "../tests/support/mod.rs"]
mod support;

use support::foundationdb_work::{Bare, Ours, ROWS};

async fn compare(url: &str, callers: usize) {
    let (ours, bare) = (Ours::new(url).await, Bare::new(url));
    compare::print_title(callers);
    for row in ROWS.iter().filter(|row| compare::picked(row)) {
        let calls = 64 * if callers > 1 { 10 } else { 2 };
        let (ours, bare) = (ours.clone(), bare.clone());
        let ours = move |i| {
            let ours = ours.clone();
            async move { ours.call(row, i).await }
        };
        let bare = move |i| {
            let bare = bare.clone();
            async move { bare.call(row, i).await }
        };
        compare::print_row(row, compare::both(callers, calls, ours, bare).await);
    }
}

fn main() {
    let url = support::foundationdb::subspace();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        for callers in [1, 64] {
            compare(&url, callers).await;
        }
    });
}
