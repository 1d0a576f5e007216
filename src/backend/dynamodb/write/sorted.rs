//! `zadd`, `zrem` and `zincr_by`, also as `zhadd` and `zhrem`. A member is an item of its own. The
//! member `_` is the same item as a string, counter, set or hash of the key.

use super::*;
use crate::Value;
use crate::op::{Score, ZAdd, ZIncrBy, ZRem};

impl WritePlan for ZAdd {
    fn initial_request(&self) -> Result<NextRequest> {
        let put = put(self)?;
        let put = match (self.nx, is_plain(&self.member)) {
            (true, _) => put.only_if(ABSENT),
            (false, true) => put.only_if("attribute_not_exists(hk) OR attribute_exists(rk2)"),
            (false, false) => put,
        };
        Ok(NextRequest::Send(put, OnSuccess::Applied))
    }
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest> {
        match decode_item(item) {
            StoredValue::Member(_) if self.nx => Ok(NextRequest::ConditionFailed),
            StoredValue::Emptied(mark) => Ok(replace_emptied(mark, put(self)?, OnSuccess::Applied)),
            StoredValue::Absent | StoredValue::Member(_) => self.initial_request(),
            _ => Err(wrong_type()),
        }
    }
}

fn put(op: &ZAdd) -> Result<Action> {
    check_member(&op.member)?;
    Ok(put_member(&op.key, &op.member, op.value.as_ref().unwrap_or(&op.member), op.score))
}

impl WritePlan for ZRem {
    fn initial_request(&self) -> Result<NextRequest> {
        check_member(&self.member)?;
        let delete = Action::delete(&self.key, &self.member);
        let delete = if is_plain(&self.member) { delete.only_if(IS_MEMBER) } else { delete };
        Ok(NextRequest::Send(delete, OnSuccess::Done))
    }
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest> {
        match decode_item(item) {
            StoredValue::Member(_) => self.initial_request(),
            _ => Ok(no_op_while(&self.key, &self.member, NOT_MEMBER)),
        }
    }
}

impl WritePlan for ZIncrBy {
    fn initial_request(&self) -> Result<NextRequest> {
        check_member(&self.member)?;
        Ok(NextRequest::ReadFirst(self.member.to_vec()))
    }
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest> {
        let new = || put_member(&self.key, &self.member, &self.member, self.by);
        let by = OnSuccess::Score(self.by.get());
        match decode_item(item) {
            StoredValue::Absent => Ok(NextRequest::Send(new().only_if(ABSENT), by)),
            StoredValue::Emptied(mark) => Ok(replace_emptied(mark, new(), by)),
            StoredValue::Member(old) => {
                let sum = Score::new(score_of(old)?.get() + self.by.get()).map_err(|_| {
                    Error::new(ErrorKind::Overflow, "the new score is not a number")
                })?;
                // An update, as it must not change the value.
                let update = Action::update(&self.key, &self.member, "SET rk2 = :new")
                    .only_if("rk2 = :old")
                    .value(":new", index_key(sum, &self.member))
                    .value(":old", old.clone());
                Ok(NextRequest::Send(update, OnSuccess::Score(sum.get())))
            }
            _ => Err(wrong_type()),
        }
    }
}

fn put_member(key: &Key, member: &Value, value: &Value, score: Score) -> Action {
    let attributes = [(V, binary(value)), (RK2, index_key(score, member))];
    Action::put(key, item(key, member, attributes))
}

/// Whether the item of the member is also that of the other types.
fn is_plain(member: &[u8]) -> bool {
    member == PLAIN
}

/// A member must fit into a sort key, also with [`Limits`](crate::Limits) that allow longer ones.
fn check_member(member: &[u8]) -> Result<()> {
    if member.len() > MAX_MEMBER_LEN {
        let message =
            "a member has at most 1,016 bytes: with its score it is a sort key of DynamoDB";
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    if member.is_empty() {
        return Err(Error::invalid("a member is a key of DynamoDB, and cannot be empty"));
    }
    Ok(())
}
