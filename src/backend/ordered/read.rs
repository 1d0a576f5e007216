//! How each read is put together from rows.

use super::cell::Cell;
use super::engine::{Scan, Span, Transaction, visit_all};
use super::rows::{Place, Rows, corrupt};
use crate::ops::*;
use crate::{Range, Read, Reply, Result, Score, Value};
use futures_util::future::try_join_all;

pub(super) async fn read<T: Transaction>(tx: &T, op: &Read) -> Result<Reply> {
    let rows = Rows::of(op.key());
    Ok(match op {
        Read::Get(_) => Reply::Value(value(tx, rows, rows.string(), Place::String).await?),
        Read::HGet(HGet { field, .. }) => {
            Reply::Value(value(tx, rows, rows.hash_field(field), Place::Field(field)).await?)
        }
        Read::SMembers(_) => Reply::Values(members(tx, rows).await?),
        Read::HGetAll(_) => Reply::Fields(fields(tx, rows).await?),
        Read::ZScore(ZScore { member, .. }) => {
            Reply::Score(sorted(tx, rows, member).await?.map(|(score, _)| score.get()))
        }
        Read::ZHGet(ZHGet { field, .. }) => Reply::Value(match sorted(tx, rows, field).await? {
            Some((_, cell)) => {
                let long = rows.long(Place::Member(field));
                Some(cell.resolve(tx, long, Some(field)).await?)
            }
            None => None,
        }),
        Read::ZCount(ZCount { range, .. }) => Reply::Count(match span(rows, range) {
            Some(span) if !span.is_empty() => tx.count(&span).await?,
            _ => 0,
        }),
        Read::ZRange(op) => range(tx, rows, op).await?,
    })
}

/// The value in a row of its own.
async fn value<T: Transaction>(
    tx: &T,
    rows: Rows<'_>,
    row: Vec<u8>,
    place: Place<'_>,
) -> Result<Option<Value>> {
    match tx.get(&row, Cell::read).await? {
        Some(cell) => cell.resolve(tx, rows.long(place), None).await.map(Some),
        None => Ok(None),
    }
}

async fn members<T: Transaction>(tx: &T, rows: Rows<'_>) -> Result<Vec<Value>> {
    let mut members = Vec::new();
    visit_all(tx, whole(rows.set()), &mut |row, _| {
        members.push(rows.member_of(row)?);
        Ok(())
    })
    .await?;
    Ok(members)
}

async fn fields<T: Transaction>(tx: &T, rows: Rows<'_>) -> Result<Vec<(Value, Value)>> {
    let mut fields = Vec::new();
    visit_all(tx, whole(rows.hash()), &mut |row, cell| {
        fields.push((rows.member_of(row)?, Cell::read(cell)?));
        Ok(())
    })
    .await?;
    // Long values are fetched together.
    try_join_all(fields.into_iter().map(|(field, cell)| async move {
        let value = cell.resolve(tx, rows.long(Place::Field(&field)), None).await?;
        Ok((field, value))
    }))
    .await
}

fn whole(span: Span) -> Scan {
    Scan { span, reverse: false, limit: usize::MAX }
}

/// The rows of a range; `None` if nothing can be in it.
fn span(rows: Rows<'_>, range: &Range) -> Option<Span> {
    match range {
        Range::Score(range) => rows.by_score(range),
        Range::Lex(range) => Some(rows.by_lex(range)),
    }
}

async fn range<T: Transaction>(tx: &T, rows: Rows<'_>, op: &ZRange) -> Result<Reply> {
    let mut found = Vec::new();
    if let Some(span) = span(rows, &op.range) {
        let scan = Scan { span, reverse: op.rev, limit: op.limit.unwrap_or(usize::MAX) };
        visit_all(tx, scan, &mut |row, value| {
            let (score, member, cell) = match op.range {
                Range::Score(_) => {
                    let (score, member) = rows.order_of(row)?;
                    (score, member, value)
                }
                Range::Lex(_) => {
                    let (score, cell) = split_score(value)?;
                    (score, rows.member_of(row)?, cell)
                }
            };
            let cell = if op.values { Cell::read(cell)? } else { Cell::Itself };
            found.push((member, score, cell));
            Ok(())
        })
        .await?;
    }
    answer(tx, rows, found, op.scores).await
}

async fn answer<T: Transaction>(
    tx: &T,
    rows: Rows<'_>,
    found: Vec<(Value, Score, Cell)>,
    scores: bool,
) -> Result<Reply> {
    let show = async |member: Value, cell: Cell| match cell {
        Cell::Itself => Ok(member),
        cell => cell.resolve(tx, rows.long(Place::Member(&member)), None).await,
    };
    if !found.iter().any(|(_, _, cell)| cell.is_long()) {
        // The usual case: everything is here already.
        let shown = found.into_iter().map(|(member, score, cell)| match cell {
            Cell::Value(value) => (value, score.get()),
            _ => (member, score.get()),
        });
        return Ok(match scores {
            true => Reply::Scored(shown.collect()),
            false => Reply::Values(shown.map(|(shown, _)| shown).collect()),
        });
    }
    let shown = found.into_iter().map(|(member, score, cell)| async move {
        Ok::<_, crate::Error>((show(member, cell).await?, score.get()))
    });
    let shown = try_join_all(shown).await?;
    Ok(match scores {
        true => Reply::Scored(shown),
        false => Reply::Values(shown.into_iter().map(|(shown, _)| shown).collect()),
    })
}

/// What the row of a sorted member says.
pub(super) async fn sorted<T: Transaction>(
    tx: &T,
    rows: Rows<'_>,
    member: &Value,
) -> Result<Option<(Score, Cell)>> {
    tx.get(&rows.sorted_member(member), |value| {
        let (score, cell) = split_score(value)?;
        Ok((score, Cell::read(cell)?))
    })
    .await
}

fn split_score(value: &[u8]) -> Result<(Score, &[u8])> {
    let (score, cell) = value.split_first_chunk().ok_or_else(corrupt)?;
    Ok((Score::new(f64::from_be_bytes(*score)).map_err(|_| corrupt())?, cell))
}
