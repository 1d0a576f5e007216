//! Measures the latency of reads and durable writes, and draws `docs/latency.svg`.
//!
//! ```sh
//! cargo run --release --example latency > docs/latency.svg
//! ```
//!
//! The profiler's table goes to standard error.

use keyvaluestore::observe::{CallProfile, Profiler};
use keyvaluestore::{Result, Store};
use std::fmt::Write;

const BAR: u32 = 22;
const HEIGHT: f64 = 150.0;

#[tokio::main]
async fn main() -> Result<()> {
    let path = std::env::temp_dir().join(format!("kvs-latency-{}", std::process::id()));
    let profiler = Profiler::new();
    let store = Store::open(format!("file:{}", path.display())).await?.with_profiler(&profiler);
    for i in 0..2_000 {
        store.set(format!("key:{i}"), "v".repeat(100)).await?;
    }
    for i in 0..20_000 {
        store.get(format!("key:{}", i * 7 % 2_000)).await?;
    }
    eprintln!("{profiler}");
    println!("{}", picture(&profiler.calls()));
    drop(store);
    // A leftover file is in the directory for temporary files.
    let _ = std::fs::remove_file(path);
    Ok(())
}

fn picture(calls: &[CallProfile]) -> String {
    let bars = calls.iter().map(|call| call.latency.buckets().count() as u32).max().unwrap_or(0);
    let (width, height) = (bars * BAR + 60, calls.len() as f64 * (HEIGHT + 70.0) + 10.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (row, call) in calls.iter().enumerate() {
        draw(&mut svg, call, row as f64 * (HEIGHT + 70.0) + 30.0);
    }
    svg + "</svg>"
}

/// Draws a histogram with its top edge at `top`: one bar per bucket, and a label below every
/// fourth.
fn draw(svg: &mut String, call: &CallProfile, top: f64) {
    let most = call.latency.buckets().map(|(_, _, n)| n).max().unwrap_or(1).max(1);
    let (median, late) = (call.latency.quantile(0.5), call.latency.quantile(0.99));
    let title =
        format!("{}: {} calls, median {median:.1?}, 99 % within {late:.1?}", call.name, call.calls);
    let mut line = |text: String| {
        // Writing to a string does not fail.
        let _ = writeln!(svg, "{text}");
    };
    line(format!("<text x=\"30\" y=\"{}\" font-size=\"13\">{title}</text>", top - 8.0));
    for (i, (from, _, n)) in call.latency.buckets().enumerate() {
        let (x, tall) = (30 + i as u32 * BAR, n as f64 / most as f64 * HEIGHT);
        let y = top + HEIGHT - tall;
        line(format!(
            "<rect x=\"{x}\" y=\"{y:.1}\" width=\"{}\" height=\"{tall:.1}\" fill=\"#4878a8\"/>",
            BAR - 3
        ));
        if i % 4 == 0 {
            let y = top + HEIGHT + 14.0;
            line(format!("<text x=\"{x}\" y=\"{y:.1}\">{from:.1?}</text>"));
        }
    }
}
