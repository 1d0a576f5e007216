//! A directory of users: the example to learn the library from.
//!
//! [`directory`] is the part that an application would have: users that are unique by id, username
//! and email address, kept by one atomic write each, found by any of the three, fetched many at a
//! time, and listed page by page in the order of their usernames. This file puts it to work:
//!
//! ```text
//! input.rs ── users ──> main.rs ── add, list, look up, fetch ──> directory.rs ──> Store
//!                          └── counts and times ──> report.rs
//! ```
//!
//! ```sh
//! cargo run --release -p users                                 # in a temporary file
//! cargo run --release -p users -- --store memory:
//! cargo run --release -p users -- --store file:users.kvs       # again: everybody is there already
//! cargo run --release -p users -- --file - < more-users.jsonl
//! ```

mod directory;
mod input;
mod report;

use clap::Parser;
use directory::{AddError, Directory, User};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use keyvaluestore::{Embedded, Store};
use report::{Failure, Phase, Tally, complain, progress, summary};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tempfile::TempDir;

/// How many users are listed at once.
const PAGE: usize = 1_000;
/// How many users are looked up in each way.
const SAMPLE: usize = 1_000;

/// Fills a directory of users from a file, and reads it back in every way there is.
#[derive(Debug, Parser)]
struct Args {
    /// A JSON Lines file of users, `-` for standard input [default: the 10,000 users of the
    /// example]
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Where to keep them, such as memory: or file:users.kvs [default: a temporary file]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// How many users are being added at once
    #[arg(long, value_name = "N", default_value = "64")]
    concurrency: NonZeroUsize,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    let file = args
        .file
        .as_deref()
        .unwrap_or(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/users.jsonl")));
    let lines = input::read(file)
        .map_err(Failure::because(format!("{} cannot be read", file.display())))?;
    // Declared before the directory, and so removed after it, when the file in it is closed.
    let (_temporary, store) = open(args.store.as_deref()).await?;
    let directory = Directory::new(store);

    let mut tally = Tally::of(lines.len());
    let users = well_formed(lines, &mut tally);
    let added = add_all(&directory, &users, args.concurrency.get(), &mut tally).await?;
    let (listed, sample) = list(&directory).await?;
    let by_username = look_up(&directory, &sample, Way::Username).await?;
    let by_address = look_up(&directory, &sample, Way::EmailAddress).await?;
    let fetched = fetch(&directory, &sample).await?;

    summary(&tally, &[added, listed, by_username, by_address, fetched])
        .map_err(Failure::because("the summary cannot be printed"))
}

/// Opens the store at `url`, or a new one in a directory that is removed when it is dropped.
async fn open(url: Option<&str>) -> Result<(Option<TempDir>, Store), Failure> {
    // No error repeats the URL: those of servers hold passwords.
    let cannot = "the store cannot be opened";
    if let Some(url) = url {
        return Ok((None, Store::open(url).await.map_err(Failure::because(cannot))?));
    }
    let dir =
        tempfile::tempdir().map_err(Failure::because("no temporary directory can be made"))?;
    let backend = Embedded::open(dir.path().join("users.kvs"));
    let store = Store::new(backend.await.map_err(Failure::because(cannot))?);
    Ok((Some(dir), store))
}

/// The users of the lines that hold one, with their line numbers. The others are reported and
/// counted.
fn well_formed(lines: Vec<input::Line>, tally: &mut Tally) -> Vec<(usize, User)> {
    let mut users = Vec::with_capacity(lines.len());
    for line in lines {
        match line.user {
            Ok(user) => users.push((line.number, user)),
            Err(what) => {
                complain(line.number, &what);
                tally.skipped += 1;
            }
        }
    }
    users
}

/// Adds the users, `at_once` at a time: writers that wait for the disk or the network wait
/// together.
async fn add_all(
    directory: &Directory,
    users: &[(usize, User)],
    at_once: usize,
    tally: &mut Tally,
) -> Result<Phase, Failure> {
    let (start, bar) = (Instant::now(), progress(users.len()));
    let mut adds = stream::iter(users)
        .map(|(number, user)| async move { (number, directory.add(user).await) })
        .buffer_unordered(at_once);
    while let Some((number, result)) = adds.next().await {
        count(result, *number, tally, &bar)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Phase::since(start, "add", users.len()))
}

fn count(
    result: Result<(), AddError>,
    number: usize,
    tally: &mut Tally,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    match result {
        Ok(()) => tally.added += 1,
        Err(AddError::InUse(why)) => tally.refuse(why),
        Err(AddError::BadUser(e)) => {
            bar.suspend(|| complain(number, &format_args!("the store refuses the user: {e}")));
            tally.skipped += 1;
        }
        Err(AddError::Store(e)) => {
            return Err(Failure::because(format!("line {number}: the user cannot be added"))(e));
        }
    }
    Ok(())
}

/// Lists everybody page by page, and picks some from all over the list for the look-ups.
async fn list(directory: &Directory) -> Result<(Phase, Vec<User>), Failure> {
    let start = Instant::now();
    let cannot = || Failure::because("the users cannot be listed");
    let count = directory.count().await.map_err(cannot())?;
    let step = (count as usize / SAMPLE).max(1);
    let (mut listed, mut sample, mut last) = (0, Vec::new(), None);
    loop {
        let page = directory.page(last.as_deref(), PAGE).await.map_err(cannot())?;
        let names = directory.usernames(last.as_deref(), PAGE).await.map_err(cannot())?;
        check_page(last.as_deref(), &names, &page)?;
        let Some(name) = names.into_iter().next_back() else { break };
        last = Some(name);
        for user in page {
            if listed % step == 0 && sample.len() < SAMPLE {
                sample.push(user);
            }
            listed += 1;
        }
    }
    if listed as u64 != count {
        return Err(Failure::new(format!("{listed} users are listed, and zcount tells {count}")));
    }
    Ok((Phase::since(start, "list", listed), sample))
}

/// Checks that the names ascend, behind that of the page before, and are those of the users.
fn check_page(last: Option<&str>, names: &[String], page: &[User]) -> Result<(), Failure> {
    let before = last.into_iter().chain(names.iter().map(String::as_str));
    if !before.is_sorted_by(|a, b| a < b) {
        return Err(Failure::new("the usernames are not listed in their order"));
    }
    if !page.iter().map(User::sort_name).eq(names.iter().cloned()) {
        return Err(Failure::new("the users listed do not have the usernames listed"));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Way {
    Username,
    EmailAddress,
}

/// Looks up each of the users, one after another.
async fn look_up(directory: &Directory, users: &[User], way: Way) -> Result<Phase, Failure> {
    let start = Instant::now();
    for user in users {
        let found = match way {
            Way::Username => directory.by_username(&user.username).await,
            Way::EmailAddress => directory.by_email_address(&user.email_address).await,
        };
        let found = found.map_err(Failure::because("a user cannot be looked up"))?;
        if found.as_ref() != Some(user) {
            return Err(Failure::new("a look-up does not find the user that is listed"));
        }
    }
    let name = match way {
        Way::Username => "by username",
        Way::EmailAddress => "by address",
    };
    Ok(Phase::since(start, name, users.len()))
}

/// Fetches the users by their ids, all in one batch.
async fn fetch(directory: &Directory, users: &[User]) -> Result<Phase, Failure> {
    let ids: Vec<String> = users.iter().map(|user| user.id.clone()).collect();
    let start = Instant::now();
    let found = directory.by_ids(&ids).await;
    let found = found.map_err(Failure::because("the users cannot be fetched"))?;
    if found != users {
        return Err(Failure::new("a batch does not find the users that are listed"));
    }
    Ok(Phase::since(start, "by id, one batch", users.len()))
}
