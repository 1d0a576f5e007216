//! The same work through the library and through the bare client, in turns, in one run: wall time
//! and processor time of this process per call, as ratios. For the benches of backends that have a
//! client to stand beside.

use cpu_time::ProcessTime;
use std::time::Instant;

/// The least of so many counts: whatever else runs on the machine only adds.
const ROUNDS: usize = 11;

/// Microseconds per call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

impl Cost {
    const MOST: Cost = Cost { wall: f64::INFINITY, cpu: f64::INFINITY };

    fn min(self, other: Cost) -> Cost {
        Cost { wall: self.wall.min(other.wall), cpu: self.cpu.min(other.cpu) }
    }
}

/// What each call costs when `callers` tasks make `calls` in all. In a `LocalSet`.
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
    Cost {
        wall: per_call(wall.elapsed().as_secs_f64()),
        cpu: per_call(cpu.elapsed().as_secs_f64()),
    }
}

/// The least that either costs.
pub(crate) async fn both<O, B>(
    callers: usize,
    calls: usize,
    ours: impl Fn(usize) -> O + Clone + 'static,
    bare: impl Fn(usize) -> B + Clone + 'static,
) -> (Cost, Cost)
where
    O: Future<Output = ()>,
    B: Future<Output = ()>,
{
    let mut least = (Cost::MOST, Cost::MOST);
    for _ in 0..ROUNDS {
        least.0 = least.0.min(cost(callers, calls, ours.clone()).await);
        least.1 = least.1.min(cost(callers, calls, bare.clone()).await);
    }
    least
}

pub(crate) fn print_title(callers: usize) {
    let title = format!("{callers} caller(s), µs per call");
    println!(
        "{title:<26}{:>10}{:>10}{:>8}{:>10}{:>10}{:>8}",
        "wall", "bare", "ratio", "CPU", "bare", "ratio"
    );
}

pub(crate) fn print_row(row: &str, (ours, bare): (Cost, Cost)) {
    println!(
        "{row:<26}{:>10.2}{:>10.2}{:>8.2}{:>10.2}{:>10.2}{:>8.2}",
        ours.wall,
        bare.wall,
        ours.wall / bare.wall,
        ours.cpu,
        bare.cpu,
        ours.cpu / bare.cpu
    );
}

/// Rows that are picked by name after `--`, or all: `cargo bench --features redis --bench redis --
/// set zadd`.
pub(crate) fn picked(row: &str) -> bool {
    let mut names = std::env::args().skip(1).filter(|arg| arg != "--bench").peekable();
    names.peek().is_none() || names.any(|name| name == row)
}
