//! The table of results per backend, parsed from the output of `cargo test`.

use std::collections::BTreeMap;

/// The results of the conformance suite on one backend.
#[derive(Debug, Default)]
struct Tally {
    passed: u32,
    failed: u32,
    /// The names of cases, with the reasons.
    opted_out: Vec<(String, String)>,
}

impl Tally {
    fn run(&self) -> u32 {
        self.passed + self.failed
    }
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    backends: BTreeMap<String, Tally>,
    /// The number of tests, including those of the conformance suite.
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    in_conformance: bool,
    /// The suffix of the backends' names, for a run on another server.
    server: &'static str,
    /// Tests that a server cannot run: server, test, reason.
    left_out: Vec<(&'static str, &'static str, &'static str)>,
    /// Backends whose server is missing, with the instructions to install it.
    not_run: Vec<(String, String)>,
}

impl Report {
    /// Sets the server of the following runs.
    pub(crate) fn on(&mut self, server: &'static str) {
        self.server = server;
    }
    /// Records that `backend` was not run.
    pub(crate) fn not_run(&mut self, backend: impl Into<String>, why: &str) {
        self.not_run.push((backend.into(), why.to_owned()));
    }
    /// Records that the server cannot run `test`.
    pub(crate) fn left_out(&mut self, test: &'static str, why: &'static str) {
        self.left_out.push((self.server, test, why));
    }
    /// Whether all tests have passed. False if no output could be parsed.
    pub(crate) fn is_fine(&self) -> bool {
        self.failed == 0 && self.passed > 0 && !self.backends.is_empty()
    }

    /// Parses a line of the output of `cargo test`.
    pub(crate) fn line(&mut self, line: &str) {
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
            && let Some((backend, case)) = name.rsplit_once("::")
        {
            let backend = format!("{backend}{}", self.server);
            let tally = self.backends.entry(backend).or_default();
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

    pub(crate) fn print(&self) {
        // Every backend lists every case, so the longest list has the number of cases.
        let listed = |tally: &Tally| tally.run() + tally.opted_out.len() as u32;
        let cases = self.backends.values().map(listed).max().unwrap_or(0);
        println!(
            "\n{:<42}{:>8}{:>8}{:>8}{:>11}{:>9}",
            "backend", "run", "passed", "failed", "opted out", "not run"
        );
        for (backend, tally) in &self.backends {
            println!(
                "{backend:<42}{:>8}{:>8}{:>8}{:>11}{:>9}",
                tally.run(),
                tally.passed,
                tally.failed,
                tally.opted_out.len(),
                cases - listed(tally)
            );
        }
        for (backend, _) in &self.not_run {
            println!("{backend:<42}{:>8}{:>8}{:>8}{:>11}{cases:>9}", 0, 0, 0, 0);
        }
        for (backend, why) in &self.not_run {
            println!("{backend} was NOT RUN: {why}");
        }
        for (backend, tally) in &self.backends {
            for (case, reason) in &tally.opted_out {
                println!("{backend} opts out of {case}: {reason}");
            }
        }
        for (server, test, why) in &self.left_out {
            println!("tests/redis{server} leaves out {test}: {why}");
        }
        println!("\nall tests of this run, including the cases above:");
        println!("{} passed, {} failed", self.passed, self.failed);
    }
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
            "test wrapped::memory::cache::a_case ... ok",
            "test redis::a_case ... ignored, the server is too old",
            "     Running tests/differential.rs (target/debug/deps/differential-1)",
            "test memory::not_a_case ... ok",
        ] {
            report.line(line);
        }
        report.on(" on another");
        report.line("     Running tests/conformance.rs (target/debug/deps/conformance-1)");
        report.line("test redis::a_case ... ok");
        assert_eq!((report.passed, report.failed), (5, 1));
        assert_eq!(report.backends["wrapped::memory::cache"].passed, 1);
        let (memory, redis) = (&report.backends["memory"], &report.backends["redis"]);
        assert_eq!((memory.passed, memory.failed, memory.opted_out.len()), (1, 1, 0));
        assert_eq!((redis.run(), &redis.opted_out[0].1[..]), (0, "the server is too old"));
        assert_eq!(report.backends["redis on another"].passed, 1);
    }
}
