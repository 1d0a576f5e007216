//! Ranges of sorted sets: the one condition that has exactly the members of the range, and its
//! pages.

use super::api::{DynamoApi, Item};
use super::call::{Again, Tries, Trip};
use super::error::DynamoError;
use super::items::*;
use super::read::is_strong;
use crate::op::*;
use crate::op::{LexRange, Range, Reply, Score, ScoreRange};
use crate::{ErrorKind, Result, Value};
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryInputBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use std::ops::Bound;

/// A part of the items of one key, by the bytes of a sort key, both ends included.
#[derive(Debug, PartialEq)]
struct Span {
    /// Of the index, or of the table.
    index: bool,
    low: Option<Vec<u8>>,
    high: Option<Vec<u8>>,
}

/// `None` if no member can be in the range.
fn span(range: &Range) -> Option<Span> {
    match range {
        Range::Score(range) => by_score(range),
        Range::Lex(range) => by_lex(range),
    }
}

/// Every index key is longer than a score, so that the eight bytes of a score are a place before
/// all of its members.
fn by_score(range: &ScoreRange) -> Option<Span> {
    let (first, end) = range.half_open()?;
    // Others may have written -0.0, which is 0.0 here, and sorts before it there.
    let place = |score: Score| match score.get() {
        0.0 => score_bytes(-0.0),
        score => score_bytes(score),
    };
    let end = end
        .map_or_else(|| (u64::from_be_bytes(score_bytes(f64::INFINITY)) + 1).to_be_bytes(), place);
    Some(Span { index: true, low: Some(place(first).into()), high: Some(end.into()) })
}

fn by_lex(range: &LexRange) -> Option<Span> {
    // A bound that is longer than any member is as good as its head: the head is before it, and
    // nothing between.
    let head = |bound: &Value| bound[..bound.len().min(MEMBER)].to_vec();
    let low = match &range.min {
        Bound::Unbounded => None,
        Bound::Included(min) if min.len() <= MEMBER => Some(head(min)),
        // The next longer string is the next one.
        Bound::Included(min) | Bound::Excluded(min) => Some([&head(min)[..], b"\0"].concat()),
    };
    let high = match &range.max {
        Bound::Unbounded => None,
        Bound::Excluded(max) if max.len() <= MEMBER => Some(before(head(max))?),
        Bound::Included(max) | Bound::Excluded(max) => Some(head(max)),
    };
    if high
        .as_ref()
        .is_some_and(|high| high.is_empty() || low.as_ref().is_some_and(|low| low > high))
    {
        return None;
    }
    // The empty string is no key, and so no bound.
    Some(Span { index: false, low: low.filter(|low| !low.is_empty()), high })
}

/// The last string before `end` that is no longer than a member can be.
fn before(mut end: Vec<u8>) -> Option<Vec<u8>> {
    match end.pop()? {
        0 => {}
        last => {
            end.push(last - 1);
            end.resize(MEMBER, 0xff);
        }
    }
    Some(end)
}

impl Span {
    fn query(self, trip: &Trip<'_>, key: &[u8]) -> QueryInputBuilder {
        let rk = if self.index { RK2 } else { RK };
        let condition = match (&self.low, &self.high) {
            (None, None) => "hk = :k".to_owned(),
            (Some(_), None) => format!("hk = :k AND {rk} >= :a"),
            (None, Some(_)) => format!("hk = :k AND {rk} <= :z"),
            (Some(_), Some(_)) => format!("hk = :k AND {rk} BETWEEN :a AND :z"),
        };
        let mut query =
            query(trip, key).key_condition_expression(condition).consistent_read(is_strong(trip));
        if self.index {
            query = query.index_name(RK2);
        }
        if let Some(low) = self.low {
            query = query.expression_attribute_values(":a", AttributeValue::B(low.into()));
        }
        if let Some(high) = self.high {
            query = query.expression_attribute_values(":z", AttributeValue::B(high.into()));
        }
        query
    }
}

fn query(trip: &Trip<'_>, key: &[u8]) -> QueryInputBuilder {
    QueryInputBuilder::default()
        .table_name(trip.table())
        .expression_attribute_values(":k", bytes(key))
        .set_return_consumed_capacity(trip.capacity())
}

/// Sends a query until it is answered. Whoever asks for items is answered a list of them, be it
/// empty.
async fn send<'t>(
    trip: &Trip<'t>,
    api: &'t dyn DynamoApi,
    query: &QueryInputBuilder,
) -> Result<QueryOutput> {
    let counts = *query.get_select() == Some(Select::Count);
    let mut tries = Tries::default();
    loop {
        let output = trip.send("Query", Again::Safe, || api.query(query.clone())).await;
        let output = output.map_err(|e| trip.read_error(e))?;
        if counts || output.items.is_some() {
            return Ok(output);
        }
        if !trip.pause(&mut tries, ErrorKind::Unavailable).await {
            return Err(trip.read_error(DynamoError::unreadable()));
        }
    }
}

/// Where the next page starts.
type Next = Option<Item>;

/// Sends a query for one page, and makes it the query for the next one.
async fn page(trip: &Trip<'_>, query: &mut QueryInputBuilder) -> Result<(Vec<Item>, u64, bool)> {
    let output = send(trip, trip.reader(), query).await?;
    let next: Next = output.last_evaluated_key.filter(|key| !key.is_empty());
    let is_last = next.is_none();
    *query = std::mem::take(query).set_exclusive_start_key(next);
    let count = u64::try_from(output.count).unwrap_or(0);
    trip.made_progress();
    Ok((output.items.unwrap_or_default(), count, is_last))
}

pub(super) async fn count(trip: &Trip<'_>, op: &ZCount) -> Result<Reply> {
    let Some(span) = span(&op.range) else { return Ok(Reply::Count(0)) };
    let by_member = !span.index;
    let mut query = span.query(trip, &op.key).select(Select::Count);
    if by_member {
        // What is no member may stand among them.
        query = query.filter_expression("attribute_exists(rk2)");
    }
    let mut total = 0;
    loop {
        let (_, count, is_last) = page(trip, &mut query).await?;
        total += count;
        if is_last {
            return Ok(Reply::Count(total));
        }
    }
}

pub(super) async fn range(trip: &Trip<'_>, op: &ZRange) -> Result<Reply> {
    let limit = op.limit.unwrap_or(usize::MAX);
    let mut rows: Vec<(Value, f64)> = Vec::new();
    if let Some(span) = span(&op.range).filter(|_| limit > 0) {
        let mut query = span
            .query(trip, &op.key)
            .scan_index_forward(!op.rev)
            .projection_expression(if op.values { "v, rk2" } else { "rk, rk2" });
        loop {
            if op.limit.is_some() {
                let left = i32::try_from(limit - rows.len()).unwrap_or(i32::MAX);
                query = query.limit(left);
            }
            let (items, _, is_last) = page(trip, &mut query).await?;
            for item in items {
                rows.extend(row(op, item)?);
            }
            if is_last || rows.len() >= limit {
                break;
            }
        }
        rows.truncate(limit);
    }
    Ok(match op.scores {
        true => Reply::Scored(rows),
        false => Reply::Values(rows.into_iter().map(|(shown, _)| shown).collect()),
    })
}

/// `None` for what is no member: a string, or what is left of a hash.
fn row(op: &ZRange, mut item: Item) -> Result<Option<(Value, f64)>> {
    let Some(index_key) = item.get(RK2) else { return Ok(None) };
    let score = score_of(index_key)?;
    let shown = value_of_member(item.remove(if op.values { V } else { RK }))?;
    Ok(Some((shown, score.get())))
}

/// Removes all members of a sorted set, page by page; whether there were any. `found` says that one
/// was removed before.
pub(super) async fn delete_all(trip: &Trip<'_>, key: &[u8], mut found: bool) -> Result<bool> {
    match delete_pages(trip, key, &mut found).await {
        Ok(()) => Ok(found),
        // A part of it has gone.
        Err(e) if found => Err(e.with_unknown_outcome()),
        Err(e) => Err(e),
    }
}

async fn delete_pages(trip: &Trip<'_>, key: &[u8], found: &mut bool) -> Result<()> {
    let mut query = query(trip, key)
        .key_condition_expression("hk = :k")
        .consistent_read(true)
        .projection_expression("rk, rk2");
    loop {
        let output = send(trip, trip.writer(), &query).await?;
        trip.made_progress();
        let mut members = Vec::new();
        for mut item in output.items.unwrap_or_default() {
            // What is plain has been deleted before; if it is there, somebody has just written it.
            if let (true, Some(AttributeValue::B(rk))) = (item.contains_key(RK2), item.remove(RK)) {
                members.push(rk.into_inner());
            }
        }
        *found |= !members.is_empty();
        super::batch::remove_all(trip, key, members).await?;
        match output.last_evaluated_key.filter(|key| !key.is_empty()) {
            None => return Ok(()),
            next => query = query.set_exclusive_start_key(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Bound::*;

    fn members() -> Vec<Vec<u8>> {
        let mut members = vec![vec![0xff; MEMBER], vec![0; MEMBER]];
        for a in [0, 1, b'a', 0xfe, 0xff] {
            members.push(vec![a]);
            for b in [0, 1, 0xff] {
                members.extend([vec![a, b], vec![a, b, 0], vec![a, b, 0xff]]);
            }
        }
        members
    }

    #[test]
    fn a_span_has_exactly_the_members_of_the_range() {
        let mut ends = members();
        ends.extend([vec![], vec![b'a'; MEMBER + 1], vec![0; 3_000], vec![0xff; 3_000]]);
        let mut bounds = vec![Unbounded];
        bounds.extend(ends.iter().flat_map(|end| [Included(&end[..]), Excluded(&end[..])]));
        for min in &bounds {
            for max in &bounds {
                let owned = |bound: &Bound<&[u8]>| bound.map(Value::from);
                let range = LexRange { min: owned(min), max: owned(max) };
                let span = by_lex(&range);
                for bound in span.iter().flat_map(|span| [&span.low, &span.high]).flatten() {
                    assert!((1..=SORT_KEY).contains(&bound.len()), "{min:?} {max:?}");
                }
                for member in members() {
                    let expected =
                        std::ops::RangeBounds::<[u8]>::contains(&(*min, *max), &member[..]);
                    let is = span.as_ref().is_some_and(|span| {
                        span.low.as_ref().is_none_or(|low| *low <= member)
                            && span.high.as_ref().is_none_or(|high| member <= *high)
                    });
                    assert_eq!(is, expected, "{member:?} in {min:?} {max:?}");
                }
            }
        }
    }

    #[test]
    fn a_score_that_others_have_written_as_minus_zero_is_zero() {
        let zero = by_score(&ScoreRange::new(0.0..=0.0).unwrap()).unwrap();
        let key = [&score_bytes(-0.0)[..], b"m"].concat();
        assert!(zero.low.unwrap() <= key && key <= zero.high.unwrap());
        let below = by_score(&ScoreRange::new(..0.0).unwrap()).unwrap();
        assert!(key > below.high.unwrap());
        let all = by_score(&ScoreRange::ALL).unwrap();
        let nan = [&score_bytes(f64::NAN)[..], b"m"].concat();
        assert!(nan > all.high.unwrap());
    }
}
