//! Background deletion of large ranges.
//!
//! Deleting very many rows takes seconds, and would block all other writers. So a large range is
//! first **hidden** by a range tombstone: one row in the table `hidden`, in the same commit as the
//! other changes of the program. From then on no read sees its rows. The writing thread deletes
//! them later, a piece at a time, in the commits of others or between them.
//!
//! ```text
//!  hidden:  begin of a span ─► its end     spans are disjoint; the rows within are deleted
//! ```
//!
//! A row that is written within a hidden span splits the span. So a key can be reused at once.
//! After a crash, the deletion continues when the file is next opened.

use super::errors::storage;
use crate::Result;
use crate::backend::ordered::Span;
use redb::{ReadableTable, Table, TableDefinition};
use std::ops::Bound;

pub(super) const HIDDEN: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("hidden");

/// The table of rows, or the table of hidden spans.
pub(super) type Rows<'t> = Table<'t, &'static [u8], &'static [u8]>;

fn span(entry: Option<redb::Result<Entry<'_>>>) -> Result<Option<Span>> {
    let Some(entry) = entry else { return Ok(None) };
    let (begin, end) = entry.map_err(storage)?;
    Ok(Some(Span { begin: begin.value().to_vec(), end: end.value().to_vec() }))
}
type Entry<'a> = (redb::AccessGuard<'a, &'static [u8]>, redb::AccessGuard<'a, &'static [u8]>);

/// The hidden span that covers `row`.
pub(super) fn covering(
    hidden: &impl ReadableTable<&'static [u8], &'static [u8]>,
    row: &[u8],
) -> Result<Option<Span>> {
    let before = span(hidden.range(..=row).map_err(storage)?.next_back())?;
    Ok(before.filter(|span| row < &span.end[..]))
}

/// The first part of `span` that is not hidden.
pub(super) fn first_visible(
    hidden: &impl ReadableTable<&'static [u8], &'static [u8]>,
    mut span_of: Span,
) -> Result<Option<Span>> {
    while let Some(covering) = covering(hidden, &span_of.begin)? {
        span_of.begin = covering.end;
    }
    if span_of.is_empty() {
        return Ok(None);
    }
    let ends = (Bound::Excluded(&span_of.begin[..]), Bound::Excluded(&span_of.end[..]));
    if let Some(next) = span(hidden.range::<&[u8]>(ends).map_err(storage)?.next())? {
        span_of.end = next.begin;
    }
    Ok(Some(span_of))
}

/// The last part of `span` that is not hidden.
pub(super) fn last_visible(
    hidden: &impl ReadableTable<&'static [u8], &'static [u8]>,
    mut span_of: Span,
) -> Result<Option<Span>> {
    while !span_of.is_empty() {
        let before = span(hidden.range(..&span_of.end[..]).map_err(storage)?.next_back())?;
        match before {
            Some(covering) if covering.end >= span_of.end => span_of.end = covering.begin,
            Some(before) => {
                span_of.begin = span_of.begin.max(before.end);
                return Ok(Some(span_of));
            }
            None => return Ok(Some(span_of)),
        }
    }
    Ok(None)
}

/// Hides `whole`, and merges the hidden spans that it overlaps.
pub(super) fn hide(hidden: &mut Rows<'_>, mut whole: Span) -> Result<()> {
    if let Some(covering) = covering(hidden, &whole.begin)? {
        whole.begin = covering.begin;
    }
    if let Some(covering) = covering(hidden, &whole.end)? {
        whole.end = covering.end;
    }
    let ends = (&whole.begin[..])..(&whole.end[..]);
    hidden.retain_in::<&[u8], _>(ends, |_, _| false).map_err(storage)?;
    hidden.insert(&whole.begin[..], &whole.end[..]).map_err(storage)?;
    Ok(())
}

/// Splits the hidden span around `row`, before the row is written. A part without rows is dropped.
pub(super) fn unhide(hidden: &mut Rows<'_>, rows: &Rows<'_>, row: &[u8]) -> Result<()> {
    let Some(covering) = covering(hidden, row)? else { return Ok(()) };
    hidden.remove(&covering.begin[..]).map_err(storage)?;
    let before = Span { begin: covering.begin, end: row.to_vec() };
    let behind = Span { begin: [row, &[0]].concat(), end: covering.end };
    for part in [before, behind] {
        if !part.is_empty() && !names(rows, &part, 1)?.is_empty() {
            hidden.insert(&part.begin[..], &part.end[..]).map_err(storage)?;
        }
    }
    Ok(())
}

/// Deletes up to `max_rows` hidden rows. Returns whether any are left.
pub(super) fn remove(
    hidden: &mut Rows<'_>,
    rows: &mut Rows<'_>,
    mut max_rows: usize,
) -> Result<bool> {
    while max_rows > 0 {
        let Some(next) = span(hidden.first().map_err(storage)?.map(Ok))? else { return Ok(false) };
        let gone = names(rows, &next, max_rows)?;
        for row in &gone {
            rows.remove(&row[..]).map_err(storage)?;
        }
        hidden.remove(&next.begin[..]).map_err(storage)?;
        match gone.last() {
            Some(last) if gone.len() == max_rows => {
                let rest = Span { begin: [&last[..], &[0]].concat(), end: next.end };
                hidden.insert(&rest.begin[..], &rest.end[..]).map_err(storage)?;
            }
            _ => {}
        }
        max_rows -= gone.len().clamp(1, max_rows);
    }
    hidden.first().map(|first| first.is_some()).map_err(storage)
}

/// The names of the first rows in `span`, hidden or not.
fn names(rows: &Rows<'_>, span: &Span, max_rows: usize) -> Result<Vec<Vec<u8>>> {
    if span.is_empty() {
        return Ok(Vec::new());
    }
    let ends = (&span.begin[..])..(&span.end[..]);
    let rows = rows.range::<&[u8]>(ends).map_err(storage)?;
    rows.take(max_rows).map(|row| Ok(row.map_err(storage)?.0.value().to_vec())).collect()
}
