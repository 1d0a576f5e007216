//! What has to hold for the code as text: formatting, lints, documentation, and that each feature stands alone.

use crate::command::{self, cargo};
use std::io;

/// Built alone, each of them, so that none leans on another by accident.
pub(crate) const FEATURES: [&str; 5] = ["embedded", "json", "msgpack", "redis", "conformance"];

fn clippy(args: &[&str]) -> io::Result<bool> {
    let mut all = vec!["clippy", "--quiet"];
    all.extend(args);
    all.extend(["--", "-D", "warnings"]);
    command::run(&mut cargo(&all))
}

pub(crate) fn run() -> io::Result<bool> {
    let mut fine = command::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    fine &= clippy(&["--workspace", "--all-targets", "--all-features"])?;
    fine &= clippy(&["--no-default-features", "--lib", "--tests"])?;
    for feature in FEATURES {
        fine &= clippy(&["--no-default-features", "--features", feature, "--lib"])?;
    }
    let mut doc =
        cargo(&["doc", "--quiet", "--no-deps", "--all-features", "--document-private-items"]);
    fine &= command::run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    println!("{}", if fine { "lint: nothing to complain about" } else { "lint: see above" });
    Ok(fine)
}
