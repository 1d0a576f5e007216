//! Assembles the reply of each read from rows.

use super::encoded_value::EncodedValue;
use super::engine::{EngineLimits, Scan, Span, Transaction, visit_all};
use super::rows::{ChunkOwner, Kind, Rows, corrupt};
use super::types;
use crate::op::{self, *};
use crate::{Result, Value};
use futures_util::future::{try_join, try_join_all};
use std::collections::HashMap;

/// Reads. If nothing is found, checks whether the key has another type.
pub(super) async fn read<T: Transaction>(
    tx: &T,
    op: &Read,
    limits: &EngineLimits,
) -> Result<Reply> {
    let reply = find(tx, op).await?;
    if is_nothing(&reply)
        && let Some(kind) = kind(op)
    {
        types::expect_type(tx, Rows::of(op.key()), kind, limits).await?;
    }
    Ok(reply)
}

/// The type that an operation reads; `None` if it reads any.
fn kind(op: &Read) -> Option<Kind> {
    match op.kind() {
        op::Kind::String => Some(Kind::String),
        op::Kind::Set => Some(Kind::Set),
        op::Kind::Hash => Some(Kind::Hash),
        op::Kind::Sorted => Some(Kind::Sorted),
        op::Kind::Any => None,
    }
}

fn is_nothing(reply: &Reply) -> bool {
    match reply {
        Reply::Value(value) => value.is_none(),
        Reply::Score(score) => score.is_none(),
        Reply::Count(count) => *count == 0,
        Reply::Values(values) => values.is_empty(),
        Reply::Scored(members) => members.is_empty(),
        Reply::Fields(fields) => fields.is_empty(),
        // No read returns these.
        Reply::Done | Reply::Applied(_) | Reply::Integer(_) => false,
        // A read of any type.
        Reply::Exists(_) => false,
    }
}

async fn find<T: Transaction>(tx: &T, op: &Read) -> Result<Reply> {
    let rows = Rows::of(op.key());
    Ok(match op {
        Read::Get(_) => {
            let encoded = tx.get(&rows.string(), EncodedValue::decode_string).await?;
            Reply::Value(value(tx, rows, encoded, ChunkOwner::String).await?)
        }
        Read::Exists(_) => Reply::Exists(types::kind(tx, rows).await?.is_some()),
        Read::HGet(HGet { field, .. }) => {
            let encoded = tx.get(&rows.hash_field(field), EncodedValue::decode).await?;
            Reply::Value(value(tx, rows, encoded, ChunkOwner::Field(field)).await?)
        }
        Read::SMembers(_) => Reply::Values(members(tx, rows).await?),
        Read::HGetAll(_) => Reply::Fields(fields(tx, rows).await?),
        Read::ZScore(ZScore { member, .. }) => {
            Reply::Score(sorted(tx, rows, member).await?.map(|(score, _)| score.get()))
        }
        Read::ZHGet(ZHGet { field, .. }) => Reply::Value(match sorted(tx, rows, field).await? {
            Some((_, encoded)) => {
                let long = rows.chunks_of(ChunkOwner::Member(field));
                Some(encoded.resolve(tx, long, Some(field)).await?)
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

async fn value<T: Transaction>(
    tx: &T,
    rows: Rows<'_>,
    encoded: Option<EncodedValue>,
    owner: ChunkOwner<'_>,
) -> Result<Option<Value>> {
    match encoded {
        Some(encoded) => encoded.resolve(tx, rows.chunks_of(owner), None).await.map(Some),
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
    visit_all(tx, whole(rows.hash()), &mut |row, encoded| {
        fields.push((rows.member_of(row)?, EncodedValue::decode(encoded)?));
        Ok(())
    })
    .await?;
    // Chunks of all long values are read together.
    try_join_all(fields.into_iter().map(|(field, encoded)| async move {
        let value = encoded.resolve(tx, rows.chunks_of(ChunkOwner::Field(&field)), None).await?;
        Ok((field, value))
    }))
    .await
}

fn whole(span: Span) -> Scan {
    Scan { span, reverse: false, limit: usize::MAX, snapshot: false }
}

/// The rows of a range; `None` if the range is empty.
fn span(rows: Rows<'_>, range: &Range) -> Option<Span> {
    match range {
        Range::Score(range) => rows.by_score(range),
        Range::Lex(range) => Some(rows.by_lex(range)),
    }
}

async fn range<T: Transaction>(tx: &T, rows: Rows<'_>, op: &ZRange) -> Result<Reply> {
    let scan = |span| {
        let limit = op.limit.unwrap_or(usize::MAX);
        Scan { span, reverse: op.rev, limit, snapshot: false }
    };
    let found = match &op.range {
        Range::Lex(range) => by_lex(tx, rows, scan(rows.by_lex(range)), op.values).await?,
        Range::Score(range) => match (rows.by_score(range), rows.values_by_score(range)) {
            (Some(span), Some(values)) if op.values => {
                let (members, values) = (
                    members_in_order(tx, rows, scan(span)),
                    values_in_order(tx, rows, scan(values)),
                );
                let (members, values) = try_join(members, values).await?;
                with_values(tx, rows, members, values).await?
            }
            (Some(span), _) => {
                let members = members_in_order(tx, rows, scan(span)).await?.into_iter();
                // No value has to be read for them.
                return Ok(match op.scores {
                    true => Reply::Scored(members.map(|(m, score, _)| (m, score.get())).collect()),
                    false => Reply::Values(members.map(|(member, ..)| member).collect()),
                });
            }
            (None, _) => Vec::new(),
        },
    };
    answer(tx, rows, found, op.scores).await
}

/// Members, their scores, and the values to return for them.
type Found = Vec<(Value, Score, EncodedValue)>;

async fn by_lex<T: Transaction>(tx: &T, rows: Rows<'_>, scan: Scan, values: bool) -> Result<Found> {
    let mut found = Vec::new();
    visit_all(tx, scan, &mut |row, value| {
        let (score, encoded) = split_score(value)?;
        let encoded =
            if values { EncodedValue::decode(encoded)? } else { EncodedValue::SameAsMember };
        found.push((rows.member_of(row)?, score, encoded));
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Members by score, and whether each has a value of its own.
async fn members_in_order<T: Transaction>(
    tx: &T,
    rows: Rows<'_>,
    scan: Scan,
) -> Result<Vec<(Value, Score, bool)>> {
    let mut found = Vec::new();
    visit_all(tx, scan, &mut |row, value| {
        let (score, member) = rows.order_of(row)?;
        found.push((member, score, read_mark(value)?));
        Ok(())
    })
    .await?;
    Ok(found)
}

async fn values_in_order<T: Transaction>(tx: &T, rows: Rows<'_>, scan: Scan) -> Result<Found> {
    let mut found = Vec::new();
    visit_all(tx, scan, &mut |row, encoded| {
        let (score, member) = rows.order_of(row)?;
        found.push((member, score, EncodedValue::decode(encoded)?));
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Joins members and values. Both are of one state, unless the snapshot of a reader has advanced in
/// between. A member whose value does not match is then read again, and left out if it is gone.
async fn with_values<T: Transaction>(
    tx: &T,
    rows: Rows<'_>,
    members: Vec<(Value, Score, bool)>,
    values: Found,
) -> Result<Found> {
    let mut values: HashMap<Value, (Score, EncodedValue)> =
        values.into_iter().map(|(member, score, encoded)| (member, (score, encoded))).collect();
    let mut found = Vec::with_capacity(members.len());
    for (member, score, has_value) in members {
        let value = values.remove(&member).filter(|(of, _)| *of == score);
        match (has_value, value) {
            (false, None) => found.push((member, score, EncodedValue::SameAsMember)),
            (true, Some((_, encoded))) => found.push((member, score, encoded)),
            _ => {
                if let Some((_, encoded)) = sorted(tx, rows, &member).await? {
                    found.push((member, score, encoded));
                }
            }
        }
    }
    Ok(found)
}

/// The content of a row in score order.
pub(super) fn mark(has_value: bool) -> Vec<u8> {
    vec![u8::from(has_value)]
}
fn read_mark(row: &[u8]) -> Result<bool> {
    match row {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(corrupt()),
    }
}

async fn answer<T: Transaction>(
    tx: &T,
    rows: Rows<'_>,
    found: Found,
    scores: bool,
) -> Result<Reply> {
    let show = async |member: Value, encoded: EncodedValue| match encoded {
        EncodedValue::SameAsMember => Ok(member),
        encoded => encoded.resolve(tx, rows.chunks_of(ChunkOwner::Member(&member)), None).await,
    };
    if !found.iter().any(|(_, _, encoded)| encoded.is_chunked()) {
        // The usual case: no value is chunked.
        let shown = found.into_iter().map(|(member, score, encoded)| match encoded {
            EncodedValue::Inline(value) => (value, score.get()),
            _ => (member, score.get()),
        });
        return Ok(match scores {
            true => Reply::Scored(shown.collect()),
            false => Reply::Values(shown.map(|(shown, _)| shown).collect()),
        });
    }
    let shown = found.into_iter().map(|(member, score, encoded)| async move {
        Ok::<_, crate::Error>((show(member, encoded).await?, score.get()))
    });
    let shown = try_join_all(shown).await?;
    Ok(match scores {
        true => Reply::Scored(shown),
        false => Reply::Values(shown.into_iter().map(|(shown, _)| shown).collect()),
    })
}

/// The score and the value in the row of a sorted member.
pub(super) async fn sorted<T: Transaction>(
    tx: &T,
    rows: Rows<'_>,
    member: &Value,
) -> Result<Option<(Score, EncodedValue)>> {
    tx.get(&rows.sorted_member(member), |value| {
        let (score, encoded) = split_score(value)?;
        Ok((score, EncodedValue::decode(encoded)?))
    })
    .await
}

fn split_score(value: &[u8]) -> Result<(Score, &[u8])> {
    let (score, encoded) = value.split_first_chunk().ok_or_else(corrupt)?;
    Ok((Score::new(f64::from_be_bytes(*score)).map_err(|_| corrupt())?, encoded))
}
