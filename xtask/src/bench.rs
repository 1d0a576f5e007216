//! `cargo xtask bench`: the benches, and the instruction counts in `benches/instructions.tsv`.

use crate::command::{cargo, root, run};
use std::collections::BTreeMap;
use std::io::{self, Error};
use std::path::PathBuf;
use std::process::Command;
use std::{fs, str};

/// The features of the wrappers.
const WRAPPERS: &str = "cache,retry,timeout,metrics,tracing";

/// How much a call may take above its saved count, in per cent, before the bench fails.
const MAX_GROWTH: f64 = 2.0;

/// The benches that measure time: files of `benches/`.
const TIMED: [&str; 5] = ["memory", "embedded", "redis", "dynamodb", "foundationdb"];

pub(crate) fn run_all(what: &[&str]) -> io::Result<bool> {
    match what {
        [] => {
            let mut fine = time("memory")? & instructions(false)?;
            for bench in &TIMED[1..] {
                fine &= time(bench)?;
            }
            Ok(fine & wrappers()?)
        }
        ["wrap"] => wrappers(),
        [bench] if TIMED.contains(bench) => time(bench),
        ["instructions"] => instructions(false),
        ["instructions", "--save"] => instructions(true),
        _ => Err(Error::other(
            "bench takes memory, embedded, redis, dynamodb, foundationdb, wrap, or \
             instructions [--save]",
        )),
    }
}

fn time(bench: &str) -> io::Result<bool> {
    // Only the feature that the bench needs, so that a missing client affects no other bench.
    let feature = match bench {
        "memory" => "embedded",
        "wrap" => WRAPPERS,
        client => client,
    };
    run(&mut cargo(&["bench", "--quiet", "--features", feature, "--bench", bench]))
}

/// Counts the instructions of each call with callgrind, and prints the change from the saved count.
fn instructions(save: bool) -> io::Result<bool> {
    let bench = build("memory")?;
    let saved = saved_counts()?;
    let (mut counts, mut grown) = (Vec::new(), Vec::new());
    println!("{:<28}{:>14}{:>10}{:>9}", "instructions per call", "now", "saved", "change");
    for call in calls(&bench)? {
        let now = per_call("memory", &bench, &call)?;
        match saved.get(&call) {
            Some(then) => {
                let change = (now as f64 / *then as f64 - 1.0) * 100.0;
                println!("{call:<28}{now:>14}{then:>10}{change:>+8.1}%");
                if change > MAX_GROWTH {
                    grown.push(call.clone());
                }
            }
            None => println!("{call:<28}{now:>14}{:>10}", "new"),
        }
        counts.push((call, now));
    }
    if save {
        let lines: String = counts.iter().map(|(call, n)| format!("{call}\t{n}\n")).collect();
        fs::write(file(), lines)?;
    }
    if counts.is_empty() {
        return Err(Error::other("the bench lists no calls"));
    }
    if !save && !grown.is_empty() {
        return Err(Error::other(format!(
            "more than {MAX_GROWTH} % above the saved count: {}",
            grown.join("; ")
        )));
    }
    Ok(true)
}

fn file() -> PathBuf {
    root().join("benches/instructions.tsv")
}

fn saved_counts() -> io::Result<BTreeMap<String, u64>> {
    let text = match fs::read_to_string(file()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let line = |line: &str| {
        let (call, count) = line.split_once('\t')?;
        Some((call.to_owned(), count.parse().ok()?))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// The wrappers: nanoseconds and instructions, with the figures of two other read caches for a hit
/// (100-byte values, 1,000 keys).
fn wrappers() -> io::Result<bool> {
    let fine = time("wrap")?;
    let bench = build("wrap")?;
    println!("{:<30}{:>14}", "instructions per call", "now");
    for call in calls(&bench)? {
        println!("{call:<30}{:>14}", per_call("wrap", &bench, &call)?);
    }
    println!(
        "for comparison, a hit of get: Go original 34 ns, no allocation; Rust port 107 ns, \
         907 instructions, 2 allocations"
    );
    println!(
        "for comparison, a hit of smembers of 10: Go original 22 ns (returns its own slice); \
         Rust port 268 ns, 12 allocations"
    );
    Ok(fine)
}

/// Builds a bench and returns the path of its executable.
fn build(name: &str) -> io::Result<PathBuf> {
    let args = ["bench", "--bench", name, "--no-run", "--message-format=json"];
    let mut build = cargo(&args);
    if name == "wrap" {
        build.args(["--features", WRAPPERS]);
    }
    let output = build.output()?;
    if !output.status.success() {
        return Err(Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let path = messages
        .lines()
        .filter(|line| line.contains(&format!("\"name\":\"{name}\"")))
        .find_map(|line| {
            let (_, path) = line.split_once("\"executable\":\"")?;
            path.split_once('"').map(|(path, _)| PathBuf::from(path))
        });
    path.ok_or_else(|| Error::other("cargo did not report the path of the bench"))
}

fn calls(bench: &PathBuf) -> io::Result<Vec<String>> {
    let output = Command::new(bench).arg("--list").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// The instructions per call. Only the function `counted` is measured, without the set-up.
fn per_call(name: &str, bench: &PathBuf, call: &str) -> io::Result<u64> {
    const CALLS: u64 = 2_000;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={name}::counted"))
        .arg(bench)
        .args(["--count", call, &CALLS.to_string()])
        .output()
        .map_err(|e| Error::new(e.kind(), format!("the instruction counts need valgrind: {e}")))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let collected = stderr.lines().find_map(|line| line.split_once("Collected : "));
    match collected.and_then(|(_, count)| count.trim().parse::<u64>().ok()) {
        Some(count) if count > 0 => Ok(count / CALLS),
        _ => Err(Error::other(format!("valgrind reported no count: {stderr}"))),
    }
}
