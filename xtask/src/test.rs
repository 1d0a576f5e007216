//! Every test, and at the end a table of what each backend has passed.

use crate::command::{cargo, run_lines};
use crate::lint::FEATURES;
use crate::servers::SERVERS;
use std::collections::BTreeMap;
use std::io;

/// What the conformance suite said of one backend.
#[derive(Debug, Default)]
struct Tally {
    passed: u32,
    failed: u32,
    /// Names and reasons.
    opted_out: Vec<(String, String)>,
}

impl Tally {
    fn run(&self) -> u32 {
        self.passed + self.failed
    }
}

#[derive(Debug, Default)]
struct Report {
    backends: BTreeMap<String, Tally>,
    /// All tests, those of the conformance suite included.
    passed: u32,
    failed: u32,
    in_conformance: bool,
    /// Backends whose server is missing, and how to get it.
    not_run: Vec<(&'static str, String)>,
}

impl Report {
    /// Takes note of a line of `cargo test`.
    fn line(&mut self, line: &str) {
        let line = line.trim();
        if line.starts_with("Running ") || line.starts_with("Doc-tests ") {
            self.in_conformance = line.contains("tests/conformance.rs");
        }
        let Some((name, result)) = line.strip_prefix("test ").and_then(|l| l.split_once(" ... "))
        else {
            return;
        };
        self.passed += u32::from(result == "ok");
        self.failed += u32::from(result == "FAILED");
        if self.in_conformance
            && let Some((backend, case)) = name.split_once("::")
        {
            let tally = self.backends.entry(backend.into()).or_default();
            match result.strip_prefix("ignored") {
                Some(reason) => {
                    let reason = reason.trim_start_matches([',', ' ']);
                    tally.opted_out.push((case.into(), reason.into()));
                }
                None if result == "ok" => tally.passed += 1,
                None => tally.failed += 1,
            }
        }
    }

    fn print(&self) {
        // Every backend is asked every case, so whoever was asked most tells how many there are.
        let asked = |tally: &Tally| tally.run() + tally.opted_out.len() as u32;
        let cases = self.backends.values().map(asked).max().unwrap_or(0);
        println!(
            "\n{:<22}{:>8}{:>8}{:>8}{:>11}{:>9}",
            "backend", "run", "passed", "failed", "opted out", "not run"
        );
        for (backend, tally) in &self.backends {
            println!(
                "{backend:<22}{:>8}{:>8}{:>8}{:>11}{:>9}",
                tally.run(),
                tally.passed,
                tally.failed,
                tally.opted_out.len(),
                cases - asked(tally)
            );
        }
        for (backend, _) in &self.not_run {
            println!("{backend:<22}{:>8}{:>8}{:>8}{:>11}{cases:>9}", 0, 0, 0, 0);
        }
        for (backend, why) in &self.not_run {
            println!("{backend} was NOT RUN: {why}");
        }
        for (backend, tally) in &self.backends {
            for (case, reason) in &tally.opted_out {
                println!("{backend} opts out of {case}: {reason}");
            }
        }
        println!("\nall tests of this run, the cases above included:");
        println!("{} passed, {} failed", self.passed, self.failed);
    }
}

/// The features of the library, but for those whose server is missing.
fn features(without: &[&str]) -> String {
    let all = FEATURES.iter().filter(|feature| !without.contains(feature));
    all.copied().collect::<Vec<_>>().join(",")
}

pub(crate) fn run() -> io::Result<bool> {
    let mut report = Report::default();
    let mut without = Vec::new();
    for server in SERVERS {
        if let Some(why) = server.missing()? {
            println!("{} will not be run: {why}", server.feature);
            without.push(server.feature);
            report.not_run.extend(server.rows.iter().map(|row| (*row, why.clone())));
        }
    }
    let features = features(&without);
    let mut fine = true;
    for args in [
        &[
            "test",
            "--workspace",
            "--no-fail-fast",
            "--no-default-features",
            "--features",
            &features,
        ][..],
        &["test", "--no-fail-fast", "--no-default-features"],
    ] {
        fine &= run_lines(&mut cargo(args), |line| {
            println!("{line}");
            report.line(line);
        })?;
    }
    report.print();
    // A run that was not understood is not a run that passed.
    Ok(fine && report.failed == 0 && report.passed > 0 && !report.backends.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts_cases_by_backend_and_an_opt_out_is_no_pass() {
        let mut report = Report::default();
        for line in [
            "     Running unittests src/lib.rs (target/debug/deps/keyvaluestore-1)",
            "test limits::tests::a_test ... ok",
            "     Running tests/conformance.rs (target/debug/deps/conformance-1)",
            "test memory::a_case ... ok",
            "test memory::another ... FAILED",
            "test redis::a_case ... ignored, the server is too old",
            "     Running tests/differential.rs (target/debug/deps/differential-1)",
            "test memory::not_a_case ... ok",
        ] {
            report.line(line);
        }
        assert_eq!((report.passed, report.failed), (3, 1));
        let (memory, redis) = (&report.backends["memory"], &report.backends["redis"]);
        assert_eq!((memory.passed, memory.failed, memory.opted_out.len()), (1, 1, 0));
        assert_eq!((redis.run(), &redis.opted_out[0].1[..]), (0, "the server is too old"));
    }

    #[test]
    fn what_has_no_server_is_left_out_by_name() {
        assert!(features(&[]).split(',').any(|feature| feature == "redis"));
        assert_eq!(features(&["redis"]).split(',').count(), FEATURES.len() - 1);
    }
}
