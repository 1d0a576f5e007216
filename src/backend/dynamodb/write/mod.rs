//! The requests of every write.
//!
//! A write first sends the request that suffices in most cases. Its condition holds only where the
//! write is correct: a wrong type, an overflow or an emptied hash makes it fail, and the error
//! contains the item as it is stored. [`WritePlan::next_request`] reads this item and decides: the
//! condition of the caller has failed, there is nothing to change, the write is an error, or
//! another request follows, on the condition that the item is unchanged.
//!
//! Each operation has both functions in one place: `string.rs`, `set.rs`, `hash.rs`, `sorted.rs`,
//! and `delete.rs` for a `delete` of any type.

mod delete;
mod hash;
mod set;
mod sorted;
mod string;

use super::action::Action;
use super::items::*;
use crate::op::{Reply, Write};
use crate::{Error, ErrorKind, Key, Result};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

/// The size limit of an item.
const MAX_ITEM_SIZE: usize = 400 * 1_024;

const ABSENT: &str = "attribute_not_exists(hk)";
/// A hash, or no item.
const NO_VALUE: &str = "attribute_not_exists(v)";
/// A string, counter or set.
const HAS_VALUE: &str = "attribute_exists(v) AND attribute_not_exists(rk2)";
const IS_MEMBER: &str = "attribute_exists(rk2)";
const NOT_MEMBER: &str = "attribute_not_exists(rk2)";
/// No field was added since the hash was marked.
const MARK_UNCHANGED: &str = "t = :t AND attribute_not_exists(v)";
const VALUE_UNCHANGED: &str = "v = :old";

/// What a write does next.
#[derive(Debug)]
pub(super) enum NextRequest {
    /// Send this action. If it succeeds, the write has.
    Send(Action, OnSuccess),
    /// Read the item with this range key first.
    ReadFirst(Vec<u8>),
    /// Mark the hash first. The action after that fails if a field was added in between.
    MarkFirst,
    /// The condition of the write does not hold.
    ConditionFailed,
    /// There is nothing to change while the condition of this action holds.
    NoOp(Option<Action>),
}

/// The reply to a write that succeeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum OnSuccess {
    Done,
    Applied,
    /// The response contains the counter.
    Counter,
    Integer(i64),
    Score(f64),
    /// Fields were removed. The response contains the hash, which may be empty now.
    FieldsRemoved,
}

impl OnSuccess {
    pub(super) fn into_reply(self, attributes: Option<&Item>) -> Result<Reply> {
        Ok(match self {
            OnSuccess::Done | OnSuccess::FieldsRemoved => Reply::Done,
            OnSuccess::Applied => Reply::Applied(true),
            OnSuccess::Integer(n) => Reply::Integer(n),
            OnSuccess::Score(score) => Reply::Score(Some(score)),
            OnSuccess::Counter => Reply::Integer(string::counter_of(attributes)?),
        })
    }
}

/// The requests of one write.
trait WritePlan {
    /// The first request, which depends on the arguments only.
    fn initial_request(&self) -> Result<NextRequest>;
    /// The next request, which depends on the item as it is stored.
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest>;
}

fn plan(op: &Write) -> &dyn WritePlan {
    match op {
        Write::Set(op) => op,
        Write::Delete(op) => op,
        Write::IncrBy(op) => op,
        Write::SAdd(op) => op,
        Write::SRem(op) => op,
        Write::HSet(op) => op,
        Write::HSetNx(op) => op,
        Write::HDel(op) => op,
        Write::ZAdd(op) => op,
        Write::ZRem(op) => op,
        Write::ZIncrBy(op) => op,
    }
}

/// The first request of a write. That of a `delete` outside of atomic writes is in `single.rs`.
pub(super) fn initial_request(op: &Write) -> Result<NextRequest> {
    plan(op).initial_request()
}

/// The next request of a write, for the item as it is stored.
pub(super) fn next_request(op: &Write, item: Option<&Item>) -> Result<NextRequest> {
    plan(op).next_request(item)
}

/// The range key of the item that a write changes.
pub(super) fn range_key(op: &Write) -> &[u8] {
    op.target().member.map_or(PLAIN, |member| member)
}

/// Marks a hash that may be empty. The response contains it.
pub(super) fn mark_for_update(key: &Key) -> Action {
    Action::update(key, PLAIN, "SET t = :t")
        .only_if("attribute_exists(hk) AND attribute_not_exists(v)")
        .value(":t", new_mark())
        .returning(ReturnValue::AllNew)
}

/// Deletes an emptied hash, unless a field was added since it was marked.
pub(super) fn delete_if_empty(key: &Key, mark: &AttributeValue) -> Action {
    Action::delete(key, PLAIN).only_if(MARK_UNCHANGED).value(":t", mark.clone())
}

/// Puts an item over an emptied hash, unless a field was added since it was marked.
fn replace_emptied(
    mark: Option<&AttributeValue>,
    put: Action,
    on_success: OnSuccess,
) -> NextRequest {
    match mark {
        Some(mark) => {
            NextRequest::Send(put.only_if(MARK_UNCHANGED).value(":t", mark.clone()), on_success)
        }
        None => NextRequest::MarkFirst,
    }
}

/// There is nothing to change while `condition` holds. An atomic write checks it.
fn no_op_while(key: &Key, rk: &[u8], condition: &'static str) -> NextRequest {
    NextRequest::NoOp(Some(Action::condition_check(key, rk).only_if(condition)))
}

/// A mark that differs from every other.
fn new_mark() -> AttributeValue {
    binary(&fastrand::u64(..).to_be_bytes())
}

/// Adds the condition that the hash still has this field.
fn if_field_exists(action: Action, field: &str) -> Action {
    action.only_if("attribute_exists(#f)").name("#f", field)
}

fn item_with_value(key: &Key, value: AttributeValue) -> Item {
    item(key, PLAIN, [(V, value)])
}

/// Rejects an item that is too large by itself, before megabytes are sent.
fn check_item_size(lengths: impl Iterator<Item = usize>) -> Result<()> {
    if lengths.sum::<usize>() > MAX_ITEM_SIZE {
        return Err(Error::new(ErrorKind::TooLarge, "an item of DynamoDB has at most 400 KB"));
    }
    Ok(())
}
