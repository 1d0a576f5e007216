//! A single operation: a read, or a write as a sequence of conditional requests.

use super::action::Action;
use super::call::{Attempts, RequestContext, contention};
use super::error::ConflictingItem;
use super::items::{Item, PLAIN, StoredValue, decode_item};
use super::write::{self, NextRequest, OnSuccess, initial_request, mark_for_update, next_request};
use super::{range, read};
use crate::op::{Read, Reply, Write};
use crate::{Error, ErrorKind, Key, Result};
use aws_sdk_dynamodb::types::ReturnValue;

pub(super) async fn read(cx: &RequestContext<'_>, op: &Read) -> Result<Reply> {
    match (op, read::range_key(op)) {
        (Read::Exists(op), _) => range::exists(cx, op).await,
        (Read::ZCount(op), _) => range::count(cx, op).await,
        (Read::ZRange(op), _) => range::range(cx, op).await,
        (op, Some(rk)) => read::get_item(cx, op, rk).await,
        (op, None) => read::decode_reply(op, None),
    }
}

pub(super) async fn write(cx: &RequestContext<'_>, op: &Write) -> Result<Reply> {
    if let Write::Delete(op) = op {
        return delete(cx, &op.key).await.map(Reply::Applied);
    }
    let (mut next, mut conflicts) = (initial_request(op)?, Attempts::default());
    loop {
        next = match next {
            NextRequest::Send(action, on_success) => match action.apply(cx).await {
                Ok(Ok(attributes)) => {
                    if on_success == OnSuccess::FieldsRemoved {
                        delete_if_empty(cx, op.key(), attributes.as_ref()).await;
                    }
                    return on_success.into_reply(attributes.as_ref());
                }
                Ok(Err(item)) => after_failed_condition(cx, op, item, &mut conflicts).await?,
                Err(e) => return Err(cx.write_error(e)),
            },
            NextRequest::ReadFirst(rk) => {
                next_request(op, read::get_consistent(cx, op.key(), &rk).await?.as_ref())?
            }
            NextRequest::MarkFirst => match mark_for_update(op.key()).apply(cx).await {
                Ok(Ok(item)) => next_request(op, item.as_ref())?,
                Ok(Err(item)) => after_failed_condition(cx, op, item, &mut conflicts).await?,
                Err(e) => return Err(cx.read_error(e)),
            },
            NextRequest::ConditionFailed => return Ok(Reply::Applied(false)),
            NextRequest::NoOp(_) => return Ok(Reply::Done),
        };
    }
}

/// The next request after a failed condition. Waits before the second request and every further
/// one: the item has changed since it was read, so another write was faster.
async fn after_failed_condition(
    cx: &RequestContext<'_>,
    op: &Write,
    item: ConflictingItem,
    conflicts: &mut Attempts,
) -> Result<NextRequest> {
    let next = match item {
        ConflictingItem::Present(item) => next_request(op, Some(&item))?,
        ConflictingItem::Absent => next_request(op, None)?,
        ConflictingItem::NotReturned => {
            let item = read::get_consistent(cx, op.key(), write::range_key(op)).await?;
            next_request(op, item.as_ref())?
        }
    };
    let is_end = matches!(next, NextRequest::ConditionFailed | NextRequest::NoOp(_));
    if conflicts.is_first() || is_end {
        conflicts.count();
    } else if !cx.backoff_after_conflict(conflicts).await {
        return Err(contention());
    }
    Ok(next)
}

/// Deletes a hash whose last field was removed. The write has succeeded already, so an error is
/// ignored: readers take an emptied hash for an absent one.
async fn delete_if_empty(cx: &RequestContext<'_>, key: &Key, item: Option<&Item>) {
    if let StoredValue::Emptied(Some(mark)) = decode_item(item) {
        let _ = write::delete_if_empty(key, mark).apply(cx).await;
    }
}

/// Deletes the item of a string, counter, set or hash. If there is none, deletes the members of a
/// sorted set.
async fn delete(cx: &RequestContext<'_>, key: &Key) -> Result<bool> {
    let delete = Action::delete(key, PLAIN).returning(ReturnValue::AllOld);
    let old = match delete.apply(cx).await {
        Ok(Ok(old)) => old,
        Ok(Err(_)) => {
            return Err(Error::new(ErrorKind::Other, "a condition failed that was not sent"));
        }
        Err(e) => return Err(cx.write_error(e)),
    };
    cx.made_progress();
    match decode_item(old.as_ref()) {
        StoredValue::String(_) | StoredValue::Set(_) | StoredValue::Hash(_) => Ok(true),
        StoredValue::Absent | StoredValue::Emptied(_) => range::delete_all(cx, key, false).await,
        StoredValue::Member(_) => range::delete_all(cx, key, true).await,
    }
}
