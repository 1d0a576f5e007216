//! The commands for development. CI runs the same commands as a person.

mod bench;
mod columns;
mod command;
mod environment;
mod files;
mod links;
mod lint;
mod ministack;
mod python;
mod redis;
mod report;
mod servers;
mod test;
mod users;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test                  run every test, and print a table of the backends;
                                  installs the servers that it needs (Debian, as root)
cargo xtask lint                  formatting, columns, links, clippy, documentation, every
                                  feature alone, and `cargo deny` where it is installed
cargo xtask bench [WHAT]          memory, embedded, redis, dynamodb, foundationdb, wrap or
                                  instructions
cargo xtask bench instructions --save    and save the counts in benches/instructions.tsv
cargo xtask users                 generate examples/users/users.jsonl";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["test"] => test::run(),
        ["lint"] => lint::run(),
        ["bench", ref what @ ..] => bench::run_all(what),
        ["users"] => users::run().map(|()| true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("xtask: {e}");
            ExitCode::FAILURE
        }
    }
}
