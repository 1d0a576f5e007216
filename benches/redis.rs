//! Redis through the library beside the bare client, doing the same work on the same server in the same run: wall time
//! and processor time of this process per call. The bare side uses the client as well as it can be used: scripts by their
//! hash, and `MGET` for a hundred gets.

#[path = "../tests/support/mod.rs"]
mod support;

use cpu_time::ProcessTime;
use std::time::Instant;
use support::redis_work::{Bare, Ours, ROWS, fill};

const ROUNDS: usize = 11;

/// Microseconds of wall time and of processor time per call.
type Cost = (f64, f64);

async fn cost<F>(callers: usize, calls: usize, call: impl Fn(usize) -> F + Clone + 'static) -> Cost
where
    F: Future<Output = ()>,
{
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    let tasks = (0..callers).map(|caller| {
        let call = call.clone();
        tokio::task::spawn_local(async move {
            for i in 0..calls / callers {
                call(caller * 31 + i).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panics");
    }
    let per_call = |time: f64| time * 1e6 / (calls / callers * callers) as f64;
    (per_call(wall.elapsed().as_secs_f64()), per_call(cpu.elapsed().as_secs_f64()))
}

/// The least of each: whatever else runs on the machine only adds.
fn least(costs: &[Cost]) -> Cost {
    let least = |of: fn(&Cost) -> f64| costs.iter().map(of).fold(f64::INFINITY, f64::min);
    (least(|cost| cost.0), least(|cost| cost.1))
}

async fn compare(url: &str, callers: usize) {
    let (ours, bare) = (Ours::new(url).await, Bare::new(url).await);
    let title = format!("{callers} caller(s), µs per call");
    println!(
        "{title:<26}{:>10}{:>10}{:>8}{:>10}{:>10}{:>8}",
        "wall", "bare", "ratio", "CPU", "bare", "ratio"
    );
    // Rows can be picked by name: `cargo bench --features redis --bench redis -- set zadd`.
    let picked: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    for row in ROWS.iter().filter(|row| picked.is_empty() || picked.iter().any(|p| p == *row)) {
        let calls = if row.starts_with("batch") { 640 } else { 6_400 };
        let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (o, b) = (ours.clone(), bare.clone());
            of_ours.push(
                cost(callers, calls, move |i| {
                    let ours = o.clone();
                    async move { ours.call(row, i).await }
                })
                .await,
            );
            of_bare.push(
                cost(callers, calls, move |i| {
                    let bare = b.clone();
                    async move { bare.call(row, i).await }
                })
                .await,
            );
        }
        let (ours, bare) = (least(&of_ours), least(&of_bare));
        println!(
            "{row:<26}{:>10.2}{:>10.2}{:>8.2}{:>10.2}{:>10.2}{:>8.2}",
            ours.0,
            bare.0,
            ours.0 / bare.0,
            ours.1,
            bare.1,
            ours.1 / bare.1
        );
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
