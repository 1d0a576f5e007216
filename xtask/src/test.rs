//! `cargo xtask test`: runs every test, and prints a table of the results per backend.

use crate::command::{cargo, run_lines};
use crate::lint::FEATURES;
use crate::ministack::{self, Ministack};
use crate::redis::{VERSIONS, Version};
use crate::report::Report;
use crate::servers::{SERVERS, is_required};
use std::ffi::OsStr;
use std::io;

/// The number of random programs that a server in Python runs in a minute. An emulator in process
/// runs twenty times as many.
const MINISTACK_PROGRAMS: &str = "1000";

/// The features of the library, except those in `without`, whose server is missing.
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
            server.rows.iter().for_each(|row| report.not_run(*row, &why));
        }
    }
    let features = features(&without);
    let some = ["--no-fail-fast", "--no-default-features", "--features", &features];
    let mut fine = tests(&mut report, &[&["--workspace"], &some[..]].concat(), &[])?;
    fine &= tests(&mut report, &["--no-fail-fast", "--no-default-features"], &[])?;
    fine &= on_ministack(&mut report, &some)?;
    for version in &VERSIONS {
        if without.contains(&"redis") {
            report.not_run(version.rows(), "the feature `redis` is left out");
        } else {
            fine &= on_redis(&mut report, &some, version)?;
        }
    }
    report.print();
    Ok(fine && report.is_fine())
}

fn tests(report: &mut Report, args: &[&str], env: &[(&str, &OsStr)]) -> io::Result<bool> {
    let mut command = cargo(&["test"]);
    command.args(args).envs(env.iter().copied());
    run_lines(&mut command, |line| {
        println!("{line}");
        report.line(line);
    })
}

/// Repeats the conformance suite and the differential test of DynamoDB on ministack.
fn on_ministack(report: &mut Report, features: &[&str]) -> io::Result<bool> {
    let ministack = match Ministack::start() {
        Ok(ministack) => ministack,
        Err(e) if is_required(ministack::NAME) => return Err(e),
        Err(e) => {
            for row in ["dynamodb on ministack", "dynamodb_faulty on ministack"] {
                report.not_run(row, &e.to_string());
            }
            return Ok(true);
        }
    };
    report.on(" on ministack");
    // Without the wrappers, which have run on dynoxide.
    let which = ["--test", "conformance", "--test", "differential", "dynamodb"];
    let skip = ["--", "--skip", "wrapped"];
    let endpoint = ministack.endpoint();
    let env = [
        ("KVS_DYNAMODB_ENDPOINT", OsStr::new(&endpoint)),
        ("KVS_PROGRAMS", OsStr::new(MINISTACK_PROGRAMS)),
    ];
    tests(report, &[features, &which[..], &skip[..]].concat(), &env)
}

/// Repeats the conformance suite and the tests of Redis on another version of Redis.
fn on_redis(report: &mut Report, features: &[&str], version: &Version) -> io::Result<bool> {
    let program = match version.program() {
        Ok(program) => program,
        Err(e) if is_required(version.name) => return Err(e),
        Err(e) => {
            report.not_run(version.rows(), &e.to_string());
            return Ok(true);
        }
    };
    report.on(version.on);
    let env = [("KVS_REDIS_SERVER", program.as_os_str())];
    // Without the wrappers, which have run on the installed Redis.
    let suite = ["--test", "conformance", "redis", "--", "--skip", "wrapped"];
    let fine = tests(report, &[features, &suite[..]].concat(), &env)?;
    // Four threads on any machine: these tests mostly wait.
    let mut args = [features, &["--test", "redis", "--", "--test-threads", "4"]].concat();
    for (test, why) in version.left_out {
        report.left_out(test, why);
        args.extend(["--skip", test]);
    }
    Ok(tests(report, &args, &env)? && fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_server_is_left_out_by_name() {
        assert!(features(&[]).split(',').any(|feature| feature == "redis"));
        assert_eq!(features(&["redis"]).split(',').count(), FEATURES.len() - 1);
    }
}
