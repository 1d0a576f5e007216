//! What the example tells: the summary, complaints about lines, and how it failed.

use crate::directory::InUse;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// What became of the users. Every one that was read is in exactly one of the other counts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    read: u64,
    pub(crate) added: u64,
    username: u64,
    email_address: u64,
    both: u64,
    id: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    pub(crate) fn of(read: usize) -> Self {
        Tally { read: read as u64, ..Tally::default() }
    }
    pub(crate) fn refuse(&mut self, why: InUse) {
        *match why {
            InUse::Username => &mut self.username,
            InUse::EmailAddress => &mut self.email_address,
            InUse::UsernameAndEmailAddress => &mut self.both,
            InUse::Id => &mut self.id,
        } += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("users read", self.read),
            ("  added", self.added),
            ("  username in use", self.username),
            ("  address in use", self.email_address),
            ("  both in use", self.both),
            ("  id in use", self.id),
            ("  skipped", self.skipped),
        ];
        rows.iter().try_for_each(|(what, n)| writeln!(f, "{what:<18}{:>12}", count(*n)))
    }
}

/// One thing that was done many times, and how long that took.
#[derive(Debug)]
pub(crate) struct Phase {
    name: &'static str,
    count: u64,
    time: Duration,
}

impl Phase {
    pub(crate) fn since(start: Instant, name: &'static str, count: usize) -> Self {
        Phase { name, count: count as u64, time: start.elapsed() }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        let rate = if seconds > 0.0 { self.count as f64 / seconds } else { 0.0 };
        let (n, rate) = (count(self.count), count(rate as u64));
        write!(f, "{:<18}{n:>12}{seconds:>12.3}{rate:>12}", self.name)
    }
}

/// Prints the end of a run that did its job.
pub(crate) fn summary(tally: &Tally, phases: &[Phase]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{tally}")?;
    writeln!(out, "{:<18}{:>12}{:>12}{:>12}", "phase", "users", "seconds", "per second")?;
    phases.iter().try_for_each(|phase| writeln!(out, "{phase}"))?;
    out.flush()
}

fn count(n: u64) -> String {
    HumanCount(n).to_string()
}

/// A bar on standard error, which shows only if that is a terminal.
pub(crate) fn progress(len: usize) -> ProgressBar {
    let bar = ProgressBar::new(len as u64);
    match ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} users, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Says on standard error what is wrong with a line. That nobody may be listening there stops
/// nothing.
pub(crate) fn complain(number: usize, what: &dyn fmt::Display) {
    let _ = writeln!(io::stderr(), "line {number}: {what}");
}

/// Why the example gave up. Prints itself with its causes, in one line.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    cause: Option<Box<dyn Error>>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Failure { what: what.into(), cause: None }
    }
    /// For `map_err`.
    pub(crate) fn because<E: Error + 'static>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |e| Failure { what, cause: Some(Box::new(e)) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let mut cause = self.cause.as_deref();
        while let Some(error) = cause {
            write!(f, ": caused by {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
