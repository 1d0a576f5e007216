//! Users from a JSON Lines file: one object per line; blank lines do not count.

use crate::directory::User;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// A line that says something, and what it says or what is wrong with it.
#[derive(Debug)]
pub(crate) struct Line {
    /// From 1, as editors count.
    pub(crate) number: usize,
    pub(crate) user: Result<User, String>,
}

/// Reads all lines of the file at `path`, or of standard input if that is `-`.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Line>> {
    if path == Path::new("-") {
        return lines(io::stdin().lock());
    }
    lines(BufReader::new(File::open(path)?))
}

fn lines(input: impl BufRead) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    // Split as bytes: text that is not UTF-8 spoils its own line and no other.
    for (number, line) in (1..).zip(input.split(b'\n')) {
        let line = line?;
        if !line.trim_ascii().is_empty() {
            lines.push(Line { number, user: parse(&line) });
        }
    }
    Ok(lines)
}

fn parse(line: &[u8]) -> Result<User, String> {
    let user: User = serde_json::from_slice(line).map_err(|e| reason(&e))?;
    for (field, text) in
        [("id", &user.id), ("username", &user.username), ("email_address", &user.email_address)]
    {
        if text.trim().is_empty() {
            return Err(format!("`{field}` is empty"));
        }
    }
    match user.email_address.split_once('@') {
        Some((local, host)) if !local.is_empty() && !host.is_empty() => Ok(user),
        _ => Err("`email_address` is not of the form name@host".to_owned()),
    }
}

/// What `serde_json` says, without the line, which to it is always the first.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what} at column {}", error.column()),
        None => text,
    }
}
