//! The reads of one item, alone and in groups.

use super::api::{DynamoApi, Item};
use super::call::{Again, Tries, Trip};
use super::error::DynamoError;
use super::flow::Flow;
use super::items::*;
use crate::backend::Consistency;
use crate::op::*;
use crate::op::{Read, Reply};
use crate::{Error, ErrorKind, Key, Result};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::operation::batch_get_item::builders::BatchGetItemInputBuilder;
use aws_sdk_dynamodb::operation::get_item::builders::GetItemInputBuilder;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use std::collections::HashMap;
use tokio::time::Instant;

/// As many items are read in one request.
pub(super) const GROUP: usize = 100;

/// The range key of the one item that answers, if one does.
pub(super) fn item_of(op: &Read) -> Option<&[u8]> {
    match op {
        Read::Get(_) | Read::SMembers(_) | Read::HGet(_) | Read::HGetAll(_) => Some(PLAIN),
        Read::ZScore(ZScore { member, .. }) => Some(member),
        Read::ZHGet(ZHGet { field, .. }) => Some(field),
        Read::ZCount(_) | Read::ZRange(_) => None,
    }
}

/// Whether no item can have such a range key, which DynamoDB refuses to look for.
pub(super) fn is_nowhere(rk: &[u8]) -> bool {
    rk.is_empty() || rk.len() > SORT_KEY
}

/// What the item tells.
pub(super) fn answer(op: &Read, item: Option<Item>) -> Result<Reply> {
    let mut item = item.unwrap_or_default();
    Ok(match op {
        Read::Get(_) if item.contains_key(RK2) => return Err(wrong_type()),
        Read::Get(_) => Reply::Value(item.remove(V).map(value).transpose()?),
        Read::SMembers(_) => {
            Reply::Values(item.remove(V).map(members).transpose()?.unwrap_or_default())
        }
        Read::HGet(op) => Reply::Value(item.remove(&field_name(&op.field)).map(value).transpose()?),
        Read::HGetAll(_) => Reply::Fields(fields(item)?),
        Read::ZScore(_) => Reply::Score(item.get(RK2).map(score_of).transpose()?.map(Score::get)),
        Read::ZHGet(_) if !item.contains_key(RK2) => Reply::Value(None),
        Read::ZHGet(_) => Reply::Value(Some(value_of_member(item.remove(V))?)),
        Read::ZCount(_) | Read::ZRange(_) => {
            return Err(Error::new(ErrorKind::Other, "a range is not one item"));
        }
    })
}

/// Reads one item for a caller.
pub(super) async fn one(trip: &Trip<'_>, op: &Read, rk: &[u8]) -> Result<Reply> {
    if is_nowhere(rk) {
        return answer(op, None);
    }
    let mut input = get(trip, op.key(), rk).consistent_read(is_strong(trip));
    input = match op {
        Read::HGet(op) => input
            .projection_expression("#f")
            .expression_attribute_names("#f", field_name(&op.field)),
        Read::Get(_) | Read::ZHGet(_) => input.projection_expression("v, rk2"),
        Read::SMembers(_) => input.projection_expression(V),
        Read::ZScore(_) => input.projection_expression(RK2),
        _ => input,
    };
    let item = send(trip, trip.reader(), input).await.map_err(|e| trip.read_error(e))?;
    answer(op, item)
}

/// Reads one item whole, as it is now: what a write depends on.
pub(super) async fn strong(trip: &Trip<'_>, key: &Key, rk: &[u8]) -> Result<Option<Item>> {
    let input = get(trip, key, rk).consistent_read(true);
    send(trip, trip.writer(), input).await.map_err(|e| trip.read_error(e))
}

fn get(trip: &Trip<'_>, key: &Key, rk: &[u8]) -> GetItemInputBuilder {
    GetItemInputBuilder::default()
        .table_name(trip.table())
        .set_key(Some(primary(key, rk)))
        .set_return_consumed_capacity(trip.capacity())
}
async fn send<'t>(
    trip: &Trip<'t>,
    api: &'t dyn DynamoApi,
    input: GetItemInputBuilder,
) -> Result<Option<Item>, DynamoError> {
    Ok(trip.send("GetItem", Again::Safe, || api.get_item(input.clone())).await?.item)
}

pub(super) fn is_strong(trip: &Trip<'_>) -> bool {
    trip.cx.consistency != Consistency::Eventual
}

/// An item by its primary key.
pub(super) type Primary<'k> = (&'k [u8], &'k [u8]);

/// Reads up to [`GROUP`] different items, each whole, in one request and what that leaves over, or
/// in as many as the network asks for; answers in their order.
pub(super) async fn group<'t>(
    trip: &Trip<'t>,
    flow: &Flow,
    api: &'t dyn DynamoApi,
    strong: bool,
    items: &[Primary<'_>],
) -> Vec<Result<Option<Item>>> {
    let places: HashMap<Primary<'_>, usize, foldhash::fast::RandomState> =
        items.iter().enumerate().map(|(place, item)| (*item, place)).collect();
    let place = |item: &Item| places.get(&primary_of(item)?).copied();
    let mut found: Vec<Result<Option<Item>>> = items.iter().map(|_| Ok(None)).collect();
    // The places of what has not been read.
    let mut open: Vec<usize> = (0..items.len()).collect();
    let mut tries = Tries::default();
    while !open.is_empty() {
        let rest = open.split_off(flow.share(open.len()));
        let (asked, start) = (open.len(), Instant::now());
        let output = match request(trip, api, strong, items, &open).await {
            Ok(output) => output,
            Err(error) if error.kind() == ErrorKind::Timeout => {
                flow.timed_out(asked);
                open.extend(rest);
                if trip.pause(&mut tries, ErrorKind::Timeout).await {
                    continue;
                }
                open.iter().for_each(|place| found[*place] = Err(error.clone()));
                break;
            }
            Err(error) => {
                open.iter().chain(&rest).for_each(|place| found[*place] = Err(error.clone()));
                break;
            }
        };
        for item in output.responses.into_iter().flatten().flat_map(|(_, items)| items) {
            if let Some(place) = place(&item) {
                found[place] = Ok(Some(item));
            }
        }
        // What is neither there nor left over does not exist.
        let left = output.unprocessed_keys.into_iter().flatten();
        open = left.flat_map(|(_, keys)| keys.keys).filter_map(|key| place(&key)).collect();
        let answered = asked - open.len().min(asked);
        if answered > 0 {
            flow.answered(answered, start.elapsed());
            trip.made_progress();
            tries = Tries::default();
        }
        let is_whole = open.is_empty();
        open.extend(rest);
        if !is_whole && !trip.go_on(&mut tries, answered > 0).await {
            let error = trip.throttled("DynamoDB left the read unprocessed");
            open.iter().for_each(|place| found[*place] = Err(error.clone()));
            break;
        }
    }
    found
}

async fn request<'t>(
    trip: &Trip<'t>,
    api: &'t dyn DynamoApi,
    strong: bool,
    items: &[Primary<'_>],
    open: &[usize],
) -> Result<BatchGetItemOutput> {
    // Made for each time that it is sent, which is mostly once: to keep one would be to copy it.
    let get = || {
        let keys = open.iter().map(|place| primary(items[*place].0, items[*place].1)).collect();
        let keys = KeysAndAttributes::builder().consistent_read(strong).set_keys(Some(keys));
        match keys.build() {
            Ok(keys) => api.batch_get_item(
                BatchGetItemInputBuilder::default()
                    .request_items(trip.table(), keys)
                    .set_return_consumed_capacity(trip.capacity()),
            ),
            Err(e) => DynamoError::unmade(e),
        }
    };
    trip.send("BatchGetItem", Again::Smaller, get).await.map_err(|e| trip.read_error(e))
}

/// The primary key that an item has.
pub(super) fn primary_of(item: &Item) -> Option<Primary<'_>> {
    let bytes = |name| item.get(name)?.as_b().ok().map(|bytes| bytes.as_ref());
    Some((bytes(HK)?, bytes(RK)?))
}
