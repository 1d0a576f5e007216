//! Times of calls to Redis, compared with the same work on the client library alone, on the same
//! server. The other side uses the client efficiently: `EVALSHA`, and `MGET` for a hundred gets.

mod compare;
#[path = "../tests/support/mod.rs"]
mod support;

use support::redis_work::{Bare, Ours, ROWS, fill};

async fn compare(url: &str, callers: usize) {
    let (ours, bare) = (Ours::new(url).await, Bare::new(url).await);
    compare::print_title(callers);
    for row in ROWS.iter().filter(|row| compare::picked(row)) {
        let calls = if row.starts_with("batch") { 640 } else { 6_400 };
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
    let url = support::redis::database();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        fill(&url).await;
        for callers in [1, 64] {
            compare(&url, callers).await;
        }
    });
}
