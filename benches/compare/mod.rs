//! Compares the library with the bare client. Both do the same work alternately in one run. The
//! result is the wall time and the CPU time of this process per call, and the ratios.

use cpu_time::ProcessTime;
use std::time::Instant;

/// The number of rounds. The minimum counts, because other load only adds time.
const ROUNDS: usize = 11;

/// Microseconds per call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

impl Cost {
    const MAX: Cost = Cost { wall: f64::INFINITY, cpu: f64::INFINITY };

    fn min(self, other: Cost) -> Cost {
        Cost { wall: self.wall.min(other.wall), cpu: self.cpu.min(other.cpu) }
    }
}

/// The cost per call if `callers` concurrent tasks make `calls` in total. Needs a `LocalSet`.
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

/// The minimum costs per call of the library and of the bare client.
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
    let mut min = (Cost::MAX, Cost::MAX);
    for _ in 0..ROUNDS {
        min.0 = min.0.min(cost(callers, calls, ours.clone()).await);
        min.1 = min.1.min(cost(callers, calls, bare.clone()).await);
    }
    min
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

/// Whether to run a row: all rows, or those named after `--`, as in
/// `cargo bench --features redis --bench redis -- set zadd`.
pub(crate) fn picked(row: &str) -> bool {
    let mut names = std::env::args().skip(1).filter(|arg| arg != "--bench").peekable();
    names.peek().is_none() || names.any(|name| name == row)
}
