//! `sadd` and `srem`.

use super::*;
use crate::op::{SAdd, SRem};
use aws_sdk_dynamodb::primitives::Blob;
use std::collections::HashSet;

impl WritePlan for SAdd {
    fn initial_request(&self) -> Result<NextRequest> {
        if self.members.is_empty() {
            return Ok(NextRequest::NoOp(None));
        }
        let members = binary_set(&self.members);
        check_item_size(lengths(members.as_bs().into_iter().flatten()))?;
        let add = Action::update(&self.key, PLAIN, "ADD v :v REMOVE t")
            .only_if("attribute_not_exists(hk) OR attribute_type(v, :bs)")
            .value(":v", members)
            .value(":bs", AttributeValue::S("BS".into()));
        Ok(NextRequest::Send(add, OnSuccess::Done))
    }
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest> {
        match decode_item(item) {
            StoredValue::Absent | StoredValue::Set(_) => self.initial_request(),
            StoredValue::Emptied(mark) => {
                let set = item_with_value(&self.key, binary_set(&self.members));
                Ok(replace_emptied(mark, Action::put(&self.key, set), OnSuccess::Done))
            }
            _ => Err(wrong_type()),
        }
    }
}

fn lengths<'b>(members: impl Iterator<Item = &'b Blob>) -> impl Iterator<Item = usize> {
    members.map(|member| member.as_ref().len())
}

impl WritePlan for SRem {
    fn initial_request(&self) -> Result<NextRequest> {
        if self.members.is_empty() {
            return Ok(NextRequest::NoOp(None));
        }
        if exceeds_item_size(self) {
            return Ok(NextRequest::ReadFirst(PLAIN.to_vec()));
        }
        Ok(NextRequest::Send(remove_some(self), OnSuccess::Done))
    }
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest> {
        match decode_item(item) {
            StoredValue::Absent | StoredValue::Emptied(_) => {
                Ok(no_op_while(&self.key, PLAIN, NO_VALUE))
            }
            StoredValue::Set(members) => Ok(remove_from(self, members)),
            _ => Err(wrong_type()),
        }
    }
}

/// Whether the members do not fit into one set. Then some of them are not in it, and they would
/// not fit into a request.
fn exceeds_item_size(op: &SRem) -> bool {
    check_item_size(op.members.iter().map(|member| member.len())).is_err()
}

/// Removes members, on the condition that the set has more of them: DynamoDB has no empty sets.
fn remove_some(op: &SRem) -> Action {
    let members = binary_set(&op.members);
    let n = members.as_bs().map_or(0, |members| members.len());
    Action::update(&op.key, PLAIN, "DELETE v :v")
        .only_if("attribute_type(v, :bs) AND size(v) > :n")
        .value(":v", members)
        .value(":bs", AttributeValue::S("BS".into()))
        .value(":n", number(n as u64))
}

/// Removes members from a set with these `members`, or deletes it if none is left.
fn remove_from(op: &SRem, members: &[Blob]) -> NextRequest {
    let removed: HashSet<&[u8]> = op.members.iter().map(|member| &member[..]).collect();
    if members.len() > removed.len() && !exceeds_item_size(op) {
        return NextRequest::Send(remove_some(op), OnSuccess::Done);
    }
    let (removed, left): (Vec<&Blob>, Vec<&Blob>) =
        members.iter().partition(|member| removed.contains(member.as_ref()));
    let old = AttributeValue::Bs(members.to_vec());
    if removed.is_empty() {
        let check = Action::condition_check(&op.key, PLAIN).only_if(VALUE_UNCHANGED);
        return NextRequest::NoOp(Some(check.value(":old", old)));
    }
    let action = if left.is_empty() {
        Action::delete(&op.key, PLAIN)
    } else {
        let removed = AttributeValue::Bs(removed.into_iter().cloned().collect());
        Action::update(&op.key, PLAIN, "DELETE v :v").value(":v", removed)
    };
    NextRequest::Send(action.only_if(VALUE_UNCHANGED).value(":old", old), OnSuccess::Done)
}
