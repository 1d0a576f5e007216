//! Reads of one item: `GetItem`, and `BatchGetItem` for groups.

use super::api::DynamoApi;
use super::call::{Attempts, Idempotent, RequestContext};
use super::error::DynamoError;
use super::flow::FlowControl;
use super::items::*;
use crate::backend::Consistency;
use crate::op::*;
use crate::{Error, ErrorKind, Key, Result};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::operation::batch_get_item::builders::BatchGetItemInputBuilder;
use aws_sdk_dynamodb::operation::get_item::builders::GetItemInputBuilder;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use std::collections::HashMap;
use tokio::time::Instant;

/// The primary key of an item.
pub(super) type PrimaryKey<'k> = (&'k [u8], &'k [u8]);

pub(super) fn primary_key_of(item: &Item) -> Option<PrimaryKey<'_>> {
    let bytes = |name| item.get(name)?.as_b().ok().map(|bytes| bytes.as_ref());
    Some((bytes(HK)?, bytes(RK)?))
}

/// The range key of the item that an operation reads. `None` if it sends a `Query`.
pub(super) fn range_key(op: &Read) -> Option<&[u8]> {
    match op {
        Read::Get(_) | Read::SMembers(_) | Read::HGet(_) | Read::HGetAll(_) => Some(PLAIN),
        Read::ZScore(ZScore { member, .. }) => Some(member),
        Read::ZHGet(ZHGet { field, .. }) => Some(field),
        Read::Exists(_) | Read::ZCount(_) | Read::ZRange(_) => None,
    }
}

/// Whether an item can have this range key. DynamoDB rejects a request for any other.
pub(super) fn is_valid_range_key(rk: &[u8]) -> bool {
    (1..=MAX_SORT_KEY_LEN).contains(&rk.len())
}

pub(super) fn decode_reply(op: &Read, item: Option<Item>) -> Result<Reply> {
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
        Read::Exists(_) | Read::ZCount(_) | Read::ZRange(_) => {
            return Err(Error::new(ErrorKind::Other, "a query has no item"));
        }
    })
}

/// A read of the user.
pub(super) async fn get_item(cx: &RequestContext<'_>, op: &Read, rk: &[u8]) -> Result<Reply> {
    if !is_valid_range_key(rk) {
        return decode_reply(op, None);
    }
    let mut input = input(cx, op.key(), rk).consistent_read(is_consistent(cx));
    input = match op {
        Read::HGet(op) => input
            .projection_expression("#f")
            .expression_attribute_names("#f", field_name(&op.field)),
        Read::Get(_) | Read::ZHGet(_) => input.projection_expression("v, rk2"),
        Read::SMembers(_) => input.projection_expression(V),
        Read::ZScore(_) => input.projection_expression(RK2),
        _ => input,
    };
    let item = send(cx, cx.reader(), input).await.map_err(|e| cx.read_error(e))?;
    decode_reply(op, item)
}

/// A strongly consistent read of a whole item, which a write depends on.
pub(super) async fn get_consistent(
    cx: &RequestContext<'_>,
    key: &Key,
    rk: &[u8],
) -> Result<Option<Item>> {
    let input = input(cx, key, rk).consistent_read(true);
    send(cx, cx.writer(), input).await.map_err(|e| cx.read_error(e))
}

fn input(cx: &RequestContext<'_>, key: &Key, rk: &[u8]) -> GetItemInputBuilder {
    GetItemInputBuilder::default()
        .table_name(cx.table())
        .set_key(Some(primary_key(key, rk)))
        .set_return_consumed_capacity(cx.return_capacity())
}
async fn send<'t>(
    cx: &RequestContext<'t>,
    api: &'t dyn DynamoApi,
    input: GetItemInputBuilder,
) -> Result<Option<Item>, DynamoError> {
    Ok(cx.send("GetItem", Idempotent::Yes, || api.get_item(input.clone())).await?.item)
}

pub(super) fn is_consistent(cx: &RequestContext<'_>) -> bool {
    cx.context.consistency != Consistency::Eventual
}

/// Reads up to [`MAX_GET_ITEMS`](super::flow::MAX_GET_ITEMS) different items, and retries the
/// unprocessed ones. Over a slow network it splits the request. Returns the items in order.
pub(super) async fn batch_get<'t>(
    cx: &RequestContext<'t>,
    flow: &FlowControl,
    api: &'t dyn DynamoApi,
    consistent: bool,
    items: &[PrimaryKey<'_>],
) -> Vec<Result<Option<Item>>> {
    let mut group = GetGroup::new(items);
    let mut attempts = Attempts::default();
    while !group.pending.is_empty() {
        let rest = group.pending.split_off(flow.next_read_size(group.pending.len()));
        let (requested, start) = (group.pending.len(), Instant::now());
        let output = match send_batch(cx, api, consistent, items, &group.pending).await {
            Ok(output) => output,
            Err(error) => {
                group.pending.extend(rest);
                if error.kind() == ErrorKind::Timeout {
                    flow.on_timeout(requested);
                    if cx.backoff(&mut attempts, ErrorKind::Timeout).await {
                        continue;
                    }
                }
                group.fail_pending(&error);
                break;
            }
        };
        group.receive(output);
        let processed = requested - group.pending.len().min(requested);
        if processed > 0 {
            flow.on_response(processed, start.elapsed());
            cx.made_progress();
            attempts = Attempts::default();
        }
        let is_complete = group.pending.is_empty();
        group.pending.extend(rest);
        if !is_complete && !cx.backoff_after_partial(&mut attempts, processed > 0).await {
            group.fail_pending(&cx.throttled("DynamoDB left the read unprocessed"));
            break;
        }
    }
    group.results
}

/// The results of a group of reads. Items are numbered.
struct GetGroup<'k> {
    indexes: HashMap<PrimaryKey<'k>, usize, foldhash::fast::RandomState>,
    results: Vec<Result<Option<Item>>>,
    /// The items that were not read.
    pending: Vec<usize>,
}

impl<'k> GetGroup<'k> {
    fn new(items: &[PrimaryKey<'k>]) -> Self {
        GetGroup {
            indexes: items.iter().enumerate().map(|(i, item)| (*item, i)).collect(),
            results: items.iter().map(|_| Ok(None)).collect(),
            pending: (0..items.len()).collect(),
        }
    }
    /// Stores the items of a response. What is neither an item nor unprocessed does not exist.
    fn receive(&mut self, output: BatchGetItemOutput) {
        let index = |item: &Item| self.indexes.get(&primary_key_of(item)?).copied();
        for item in output.responses.into_iter().flatten().flat_map(|(_, items)| items) {
            if let Some(i) = index(&item) {
                self.results[i] = Ok(Some(item));
            }
        }
        let unprocessed = output.unprocessed_keys.into_iter().flatten();
        self.pending =
            unprocessed.flat_map(|(_, keys)| keys.keys).filter_map(|key| index(&key)).collect();
    }
    fn fail_pending(&mut self, error: &Error) {
        self.pending.iter().for_each(|i| self.results[*i] = Err(error.clone()));
    }
}

async fn send_batch<'t>(
    cx: &RequestContext<'t>,
    api: &'t dyn DynamoApi,
    consistent: bool,
    items: &[PrimaryKey<'_>],
    pending: &[usize],
) -> Result<BatchGetItemOutput> {
    // Each attempt builds its input. Most have one, so that nothing is cloned.
    let get = || {
        let keys = pending.iter().map(|i| primary_key(items[*i].0, items[*i].1)).collect();
        let keys = KeysAndAttributes::builder().consistent_read(consistent).set_keys(Some(keys));
        match keys.build() {
            Ok(keys) => api.batch_get_item(
                BatchGetItemInputBuilder::default()
                    .request_items(cx.table(), keys)
                    .set_return_consumed_capacity(cx.return_capacity()),
            ),
            Err(e) => DynamoError::build_failed(e),
        }
    };
    let output = cx.send("BatchGetItem", Idempotent::WithFewerItems, get).await;
    output.map_err(|e| cx.read_error(e))
}
