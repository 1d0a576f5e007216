//! Ranges of sorted sets: a `Query` whose key condition matches exactly the members of the range,
//! page by page. Also `exists`, and the `delete` of a sorted set.

use super::api::DynamoApi;
use super::batch_write::delete_members;
use super::call::{Attempts, Idempotent, RequestContext};
use super::error::DynamoError;
use super::items::*;
use super::read::is_consistent;
use crate::op::*;
use crate::{ErrorKind, Result, Value};
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryInputBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use std::ops::Bound;

/// An interval of sort keys. Both ends are included.
#[derive(Debug, PartialEq)]
struct KeyInterval {
    /// Of the index, or of the table.
    index: bool,
    low: Option<Vec<u8>>,
    high: Option<Vec<u8>>,
}

/// `None` if no member can be in the range.
fn key_interval(range: &Range) -> Option<KeyInterval> {
    match range {
        Range::Score(range) => by_score(range),
        Range::Lex(range) => by_lex(range),
    }
}

/// The eight bytes of a score sort before the index keys of all members with that score, as those
/// are longer. So they are an end that includes all of these members, or none.
fn by_score(range: &ScoreRange) -> Option<KeyInterval> {
    let (first, end) = range.half_open()?;
    // Other programs may have written -0.0. It equals 0.0, but its bytes sort before it.
    let key = |score: Score| match score.get() {
        0.0 => score_bytes(-0.0),
        score => score_bytes(score),
    };
    let after_infinity = || (u64::from_be_bytes(score_bytes(f64::INFINITY)) + 1).to_be_bytes();
    let end = end.map_or_else(after_infinity, key);
    Some(KeyInterval { index: true, low: Some(key(first).into()), high: Some(end.into()) })
}

fn by_lex(range: &LexRange) -> Option<KeyInterval> {
    // A bound may be longer than any member. No member is between it and its head.
    let head = |bound: &Value| bound[..bound.len().min(MAX_MEMBER_LEN)].to_vec();
    let low = match &range.min {
        Bound::Unbounded => None,
        Bound::Included(min) if min.len() <= MAX_MEMBER_LEN => Some(head(min)),
        // The next string after `s` is `s\0`.
        Bound::Included(min) | Bound::Excluded(min) => Some([&head(min)[..], b"\0"].concat()),
    };
    let high = match &range.max {
        Bound::Unbounded => None,
        Bound::Excluded(max) if max.len() <= MAX_MEMBER_LEN => Some(before(head(max))?),
        Bound::Included(max) | Bound::Excluded(max) => Some(head(max)),
    };
    if high
        .as_ref()
        .is_some_and(|high| high.is_empty() || low.as_ref().is_some_and(|low| low > high))
    {
        return None;
    }
    // DynamoDB rejects the empty string as a key.
    Some(KeyInterval { index: false, low: low.filter(|low| !low.is_empty()), high })
}

/// The last string before `end` that is not longer than a member can be.
fn before(mut end: Vec<u8>) -> Option<Vec<u8>> {
    match end.pop()? {
        0 => {}
        last => {
            end.push(last - 1);
            end.resize(MAX_MEMBER_LEN, 0xff);
        }
    }
    Some(end)
}

impl KeyInterval {
    fn query(self, cx: &RequestContext<'_>, key: &[u8]) -> QueryInputBuilder {
        let rk = if self.index { RK2 } else { RK };
        let condition = match (&self.low, &self.high) {
            (None, None) => "hk = :k".to_owned(),
            (Some(_), None) => format!("hk = :k AND {rk} >= :a"),
            (None, Some(_)) => format!("hk = :k AND {rk} <= :z"),
            (Some(_), Some(_)) => format!("hk = :k AND {rk} BETWEEN :a AND :z"),
        };
        let mut query =
            query(cx, key).key_condition_expression(condition).consistent_read(is_consistent(cx));
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

fn query(cx: &RequestContext<'_>, key: &[u8]) -> QueryInputBuilder {
    QueryInputBuilder::default()
        .table_name(cx.table())
        .expression_attribute_values(":k", binary(key))
        .set_return_consumed_capacity(cx.return_capacity())
}

/// Sends a query. A response to a query for items has a list, which may be empty; one without a
/// list is not DynamoDB's.
async fn send<'t>(
    cx: &RequestContext<'t>,
    api: &'t dyn DynamoApi,
    query: &QueryInputBuilder,
) -> Result<QueryOutput> {
    let counts = *query.get_select() == Some(Select::Count);
    let mut attempts = Attempts::default();
    loop {
        let output = cx.send("Query", Idempotent::Yes, || api.query(query.clone())).await;
        let output = output.map_err(|e| cx.read_error(e))?;
        if counts || output.items.is_some() {
            return Ok(output);
        }
        if !cx.backoff(&mut attempts, ErrorKind::Unavailable).await {
            return Err(cx.read_error(DynamoError::unreadable()));
        }
    }
}

/// Sends a query for one page, and turns it into the query for the next one.
async fn next_page(
    cx: &RequestContext<'_>,
    query: &mut QueryInputBuilder,
) -> Result<(Vec<Item>, u64, bool)> {
    let output = send(cx, cx.reader(), query).await?;
    let next = output.last_evaluated_key.filter(|key| !key.is_empty());
    let is_last = next.is_none();
    *query = std::mem::take(query).set_exclusive_start_key(next);
    let count = u64::try_from(output.count).unwrap_or(0);
    cx.made_progress();
    Ok((output.items.unwrap_or_default(), count, is_last))
}

pub(super) async fn count(cx: &RequestContext<'_>, op: &ZCount) -> Result<Reply> {
    let Some(interval) = key_interval(&op.range) else { return Ok(Reply::Count(0)) };
    let by_member = !interval.index;
    let mut query = interval.query(cx, &op.key).select(Select::Count);
    if by_member {
        // The item of a string, counter, set or hash may be among the members.
        query = query.filter_expression("attribute_exists(rk2)");
    }
    let mut total = 0;
    loop {
        let (_, count, is_last) = next_page(cx, &mut query).await?;
        total += count;
        if is_last {
            return Ok(Reply::Count(total));
        }
    }
}

/// Looks for any item of the key, one at a time. Only an emptied hash is skipped.
pub(super) async fn exists(cx: &RequestContext<'_>, op: &Exists) -> Result<Reply> {
    let mut query = query(cx, &op.key)
        .key_condition_expression("hk = :k")
        .consistent_read(is_consistent(cx))
        .limit(1);
    loop {
        let (items, _, is_last) = next_page(cx, &mut query).await?;
        let is_value = |item| {
            !matches!(decode_item(Some(item)), StoredValue::Absent | StoredValue::Emptied(_))
        };
        let exists = items.iter().any(is_value);
        if exists || is_last {
            return Ok(Reply::Exists(exists));
        }
    }
}

pub(super) async fn range(cx: &RequestContext<'_>, op: &ZRange) -> Result<Reply> {
    let limit = op.limit.unwrap_or(usize::MAX);
    let mut rows: Vec<(Value, f64)> = Vec::new();
    if let Some(interval) = key_interval(&op.range).filter(|_| limit > 0) {
        let mut query = interval
            .query(cx, &op.key)
            .scan_index_forward(!op.rev)
            .projection_expression(if op.values { "v, rk2" } else { "rk, rk2" });
        loop {
            if op.limit.is_some() {
                let left = i32::try_from(limit - rows.len()).unwrap_or(i32::MAX);
                query = query.limit(left);
            }
            let (items, _, is_last) = next_page(cx, &mut query).await?;
            for item in items {
                rows.extend(row(op, item)?);
            }
            if is_last || rows.len() >= limit {
                break;
            }
        }
        rows.truncate(limit);
    }
    Ok(if op.scores {
        Reply::Scored(rows)
    } else {
        Reply::Values(rows.into_iter().map(|(value, _)| value).collect())
    })
}

/// The member or its value, and the score. `None` for an item of another type.
fn row(op: &ZRange, mut item: Item) -> Result<Option<(Value, f64)>> {
    let Some(index_key) = item.get(RK2) else { return Ok(None) };
    let score = score_of(index_key)?;
    let value = value_of_member(item.remove(if op.values { V } else { RK }))?;
    Ok(Some((value, score.get())))
}

/// Deletes all members of a sorted set, page by page. Returns whether there were any, or `found` if
/// a member was deleted before.
pub(super) async fn delete_all(
    cx: &RequestContext<'_>,
    key: &[u8],
    mut found: bool,
) -> Result<bool> {
    match delete_pages(cx, key, &mut found).await {
        Ok(()) => Ok(found),
        // Some members may be deleted.
        Err(e) if found => Err(e.with_unknown_outcome()),
        Err(e) => Err(e),
    }
}

async fn delete_pages(cx: &RequestContext<'_>, key: &[u8], found: &mut bool) -> Result<()> {
    let mut query = query(cx, key)
        .key_condition_expression("hk = :k")
        .consistent_read(true)
        .projection_expression("rk, rk2");
    loop {
        let output = send(cx, cx.writer(), &query).await?;
        cx.made_progress();
        let mut members = Vec::new();
        for mut item in output.items.unwrap_or_default() {
            // Keeps an item of another type: it was written after the call had deleted that item.
            if let (true, Some(AttributeValue::B(rk))) = (item.contains_key(RK2), item.remove(RK)) {
                members.push(rk.into_inner());
            }
        }
        *found |= !members.is_empty();
        delete_members(cx, key, members).await?;
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
        let mut members = vec![vec![0xff; MAX_MEMBER_LEN], vec![0; MAX_MEMBER_LEN]];
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
        ends.extend([vec![], vec![b'a'; MAX_MEMBER_LEN + 1], vec![0; 3_000], vec![0xff; 3_000]]);
        let mut bounds = vec![Unbounded];
        bounds.extend(ends.iter().flat_map(|end| [Included(&end[..]), Excluded(&end[..])]));
        for min in &bounds {
            for max in &bounds {
                let owned = |bound: &Bound<&[u8]>| bound.map(Value::from);
                let range = LexRange { min: owned(min), max: owned(max) };
                let interval = by_lex(&range);
                let ends = interval.iter().flat_map(|interval| [&interval.low, &interval.high]);
                for bound in ends.flatten() {
                    assert!((1..=MAX_SORT_KEY_LEN).contains(&bound.len()), "{min:?} {max:?}");
                }
                for member in members() {
                    let expected =
                        std::ops::RangeBounds::<[u8]>::contains(&(*min, *max), &member[..]);
                    let contains = interval.as_ref().is_some_and(|interval| {
                        interval.low.as_ref().is_none_or(|low| *low <= member)
                            && interval.high.as_ref().is_none_or(|high| member <= *high)
                    });
                    assert_eq!(contains, expected, "{member:?} in {min:?} {max:?}");
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
