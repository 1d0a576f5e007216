//! `cargo xtask lint`: formatting, lints, documentation, dependencies, and a build of each feature
//! without the others.

use crate::columns;
use crate::command::{self, cargo};
use crate::links;
use crate::servers::{NO_LIBCLANG, has_libclang, is_required};
use std::io;

/// All public features. Each is checked without the others, so that none depends on another by
/// accident.
pub(crate) const FEATURES: [&str; 12] = [
    "embedded",
    "json",
    "msgpack",
    "redis",
    "dynamodb",
    "foundationdb",
    "conformance",
    // The wrappers.
    "cache",
    "retry",
    "timeout",
    "metrics",
    "tracing",
];

fn clippy(args: &[&str]) -> io::Result<bool> {
    let mut all = vec!["clippy", "--quiet"];
    all.extend(args);
    all.extend(["--", "-D", "warnings"]);
    command::run(&mut cargo(&all))
}

/// Checks licences, banned crates and sources by `deny.toml`. The check for advisories is omitted:
/// it needs the network, and its result depends on the date.
fn check_dependencies() -> io::Result<bool> {
    let installed = cargo(&["deny", "--version"]).output()?.status.success();
    if !installed {
        println!("deny.toml was NOT CHECKED: `cargo install cargo-deny`");
        return Ok(true);
    }
    command::run(&mut cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"]))
}

pub(crate) fn run() -> io::Result<bool> {
    let mut checked = FEATURES.to_vec();
    let libclang = has_libclang()?;
    if !libclang {
        checked.retain(|feature| *feature != "foundationdb");
    }
    let all = checked.join(",");
    let mut fine = command::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    fine &= columns::check()?;
    fine &= links::check()?;
    fine &= check_dependencies()?;
    fine &= clippy(&["--workspace", "--all-targets", "--features", &all])?;
    fine &= clippy(&["--no-default-features", "--lib", "--tests"])?;
    for feature in checked {
        fine &= clippy(&["--no-default-features", "--features", feature, "--lib"])?;
    }
    let mut doc =
        cargo(&["doc", "--quiet", "--no-deps", "--features", &all, "--document-private-items"]);
    fine &= command::run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    if !libclang {
        println!("foundationdb was NOT CHECKED: {NO_LIBCLANG}");
        if is_required("foundationdb") {
            return Ok(false);
        }
    }
    println!("{}", if fine { "lint: passed" } else { "lint: failed, see above" });
    Ok(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_feature_is_forgotten() {
        let manifest = std::fs::read_to_string(command::root().join("Cargo.toml")).unwrap();
        let (_, features) = manifest.split_once("[features]\n").unwrap();
        let (features, _) = features.split_once("\n[").unwrap();
        let named =
            features.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name));
        // `default` is a list of other features, and `__ordered` is private.
        let mut named: Vec<&str> =
            named.filter(|name| !["default", "__ordered"].contains(name)).collect();
        named.sort_unstable();
        let mut known = FEATURES.to_vec();
        known.sort_unstable();
        assert_eq!(named, known);
    }
}
