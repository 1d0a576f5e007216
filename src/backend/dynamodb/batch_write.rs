//! `BatchWriteItem`: groups of puts and deletes without conditions.

use super::call::{Attempts, Idempotent, RequestContext};
use super::flow::{FlowControl, Job, Size, run_concurrently};
use super::items::primary_key;
use super::read::{PrimaryKey, primary_key_of};
use crate::{Error, Result};
use aws_sdk_dynamodb::operation::batch_write_item::builders::BatchWriteItemInputBuilder;
use aws_sdk_dynamodb::types::{DeleteRequest, WriteRequest};

/// The limit of `BatchWriteItem`.
pub(super) const MAX_WRITE_ITEMS: usize = 25;

/// A write of a group. Sending consumes the request, so a retry builds it again.
pub(super) trait GroupWrite: Send {
    fn primary_key(&self) -> PrimaryKey<'_>;
    fn request(&mut self) -> Option<WriteRequest>;
}

/// The delete of a member of a sorted set: key and range key.
impl GroupWrite for (&[u8], Vec<u8>) {
    fn primary_key(&self) -> PrimaryKey<'_> {
        (self.0, &self.1)
    }
    fn request(&mut self) -> Option<WriteRequest> {
        Some(WriteRequest::builder().delete_request(delete(self.0, &self.1)?).build())
    }
}

pub(super) fn delete(key: &[u8], rk: &[u8]) -> Option<DeleteRequest> {
    DeleteRequest::builder().set_key(Some(primary_key(key, rk))).build().ok()
}

/// Sends up to [`MAX_WRITE_ITEMS`] writes of different items, and retries the unprocessed ones.
/// Returns their results in order.
pub(super) async fn write_group<W: GroupWrite>(
    cx: &RequestContext<'_>,
    writes: &mut [W],
) -> Vec<Result<()>> {
    let mut results: Vec<Result<()>> = writes.iter().map(|_| Ok(())).collect();
    let mut attempts = Attempts::default();
    // The indexes of the writes that are not done.
    let mut pending: Vec<usize> = (0..writes.len()).collect();
    while !pending.is_empty() {
        let before = pending.len();
        let error = match send(cx, writes, &pending).await {
            Ok(unprocessed) => {
                pending = unprocessed;
                let made_progress = pending.len() < before;
                if made_progress {
                    cx.made_progress();
                }
                if pending.is_empty()
                    || cx.backoff_after_partial(&mut attempts, made_progress).await
                {
                    continue;
                }
                cx.throttled("DynamoDB left the write unprocessed")
            }
            Err(error) => error,
        };
        pending.iter().for_each(|i| results[*i] = Err(error.clone()));
        break;
    }
    results
}

/// Sends the pending writes in one request. Returns the indexes of the unprocessed ones.
async fn send<W: GroupWrite>(
    cx: &RequestContext<'_>,
    writes: &mut [W],
    pending: &[usize],
) -> Result<Vec<usize>> {
    let api = cx.writer();
    let write = || {
        let requests: Vec<_> = pending.iter().filter_map(|i| writes[*i].request()).collect();
        api.batch_write_item(
            BatchWriteItemInputBuilder::default()
                .request_items(cx.table(), requests)
                .set_return_consumed_capacity(cx.return_capacity()),
        )
    };
    let output = cx.send("BatchWriteItem", Idempotent::No, write).await;
    let output = output.map_err(|e| cx.write_error(e))?;
    let unprocessed = output.unprocessed_items.into_iter().flatten();
    let index = |request: WriteRequest| {
        let key = primary_key_of_request(&request)?;
        writes.iter().position(|write| write.primary_key() == key)
    };
    Ok(unprocessed.flat_map(|(_, requests)| requests).filter_map(index).collect())
}

fn primary_key_of_request(request: &WriteRequest) -> Option<PrimaryKey<'_>> {
    match (&request.put_request, &request.delete_request) {
        (Some(put), _) => primary_key_of(put.item()),
        (None, Some(delete)) => primary_key_of(delete.key()),
        (None, None) => None,
    }
}

/// Deletes any number of members of a sorted set. Groups that fail with a retryable error, such as
/// throttling, are retried while other groups succeed.
pub(super) async fn delete_members(
    cx: &RequestContext<'_>,
    key: &[u8],
    members: Vec<Vec<u8>>,
) -> Result<()> {
    let mut pending: Vec<_> = members.into_iter().map(|rk| (key, rk)).collect();
    let (flow, mut attempts) = (FlowControl::new(), Attempts::default());
    loop {
        let before = pending.len();
        let (failed, error) = delete_groups(cx, &flow, pending).await?;
        let Some(error) = error else { return Ok(()) };
        if failed.len() < before {
            attempts = Attempts::default();
        }
        if !cx.backoff_without_limit(&mut attempts, error.kind()).await {
            return Err(error);
        }
        pending = failed;
    }
}

type Member<'k> = (&'k [u8], Vec<u8>);

/// Deletes members in groups. Returns those that failed with a retryable error, and the last such
/// error.
async fn delete_groups<'k>(
    cx: &RequestContext<'_>,
    flow: &FlowControl,
    members: Vec<Member<'k>>,
) -> Result<(Vec<Member<'k>>, Option<Error>)> {
    let (mut groups, mut rest) = (Vec::new(), members.into_iter().peekable());
    while rest.peek().is_some() {
        let mut group: Vec<_> = rest.by_ref().take(MAX_WRITE_ITEMS).collect();
        let run = async move { (write_group(cx, &mut group).await, group) };
        groups.push(Job::new(Size::Bytes(0), run));
    }
    let (mut failed, mut error) = (Vec::new(), None);
    for (results, group) in run_concurrently(cx, flow, groups).await {
        for (result, member) in results.into_iter().zip(group) {
            match result {
                Ok(()) => {}
                Err(e) if e.is_retryable() && !e.outcome_is_unknown() => {
                    failed.push(member);
                    error = Some(e);
                }
                Err(e) => return Err(e),
            }
        }
    }
    Ok((failed, error))
}
