//! `set` with its conditions, and `incr_by`.

use super::*;
use crate::op::{Condition, IncrBy, Set};

impl WritePlan for Set {
    fn initial_request(&self) -> Result<NextRequest> {
        let put = put(self);
        let put = match &self.condition {
            Condition::Always => put,
            Condition::NotExists => put.only_if(ABSENT),
            Condition::Exists => put.only_if(HAS_VALUE),
            Condition::Equals(old) => match old.as_canonical_integer() {
                // Digits are stored as a string or as a number.
                Some(n) => put
                    .only_if("v IN (:old, :number) AND attribute_not_exists(rk2)")
                    .value(":number", number(n)),
                None => put.only_if("v = :old AND attribute_not_exists(rk2)"),
            }
            .value(":old", binary(old))
            .without_conflicting_item(),
        };
        Ok(NextRequest::Send(put, OnSuccess::Applied))
    }
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest> {
        match (&self.condition, decode_item(item)) {
            (Condition::Always, _) => self.initial_request(),
            (Condition::NotExists, StoredValue::Absent) => self.initial_request(),
            (Condition::NotExists, StoredValue::Emptied(mark)) => {
                Ok(replace_emptied(mark, put(self), OnSuccess::Applied))
            }
            (Condition::NotExists, StoredValue::Member(_)) => Err(wrong_type()),
            (Condition::Exists, StoredValue::String(_) | StoredValue::Set(_)) => {
                self.initial_request()
            }
            (Condition::Exists, StoredValue::Hash(field)) => {
                Ok(NextRequest::Send(if_field_exists(put(self), field), OnSuccess::Applied))
            }
            (Condition::Equals(old), StoredValue::String(stored))
                if value(stored.clone())? == *old =>
            {
                self.initial_request()
            }
            _ => Ok(NextRequest::ConditionFailed),
        }
    }
}

fn put(op: &Set) -> Action {
    Action::put(&op.key, item_with_value(&op.key, binary(&op.value)))
}

impl WritePlan for IncrBy {
    fn initial_request(&self) -> Result<NextRequest> {
        Ok(NextRequest::Send(add(self), OnSuccess::Counter))
    }
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest> {
        let put = |n| Action::put(&self.key, item_with_value(&self.key, number(n)));
        let stored = match decode_item(item) {
            StoredValue::Absent => return self.initial_request(),
            StoredValue::Emptied(mark) => {
                return Ok(replace_emptied(mark, put(self.by), OnSuccess::Integer(self.by)));
            }
            StoredValue::String(stored) => stored,
            _ => return Err(wrong_type()),
        };
        let Some(counter) = value(stored.clone())?.as_canonical_integer() else {
            return Err(Error::wrong_type("the string is not a decimal integer"));
        };
        let Some(sum) = counter.checked_add(self.by) else {
            return Err(Error::new(ErrorKind::Overflow, "the sum does not fit into 64 bits"));
        };
        match stored {
            AttributeValue::N(_) => self.initial_request(),
            // Digits written by `set`: replaces them with a number.
            _ => {
                let put = put(sum).only_if(VALUE_UNCHANGED).value(":old", stored.clone());
                Ok(NextRequest::Send(put, OnSuccess::Integer(sum)))
            }
        }
    }
}

/// `ADD`, on the condition that the sum does not overflow.
fn add(op: &IncrBy) -> Action {
    // Other programs may have stored a counter outside of 64 bits, on either side.
    let (low, high) = match op.by {
        by @ 0.. => (i64::MIN, i64::MAX - by),
        by => (i64::MIN - by, i64::MAX),
    };
    Action::update(&op.key, PLAIN, "ADD v :by")
        .only_if("attribute_not_exists(hk) OR v BETWEEN :low AND :high")
        .value(":by", number(op.by))
        .value(":low", number(low))
        .value(":high", number(high))
        .returning(ReturnValue::UpdatedNew)
}

/// The new value of a counter. Without one in the response, the outcome is unknown: the response
/// may not be DynamoDB's.
pub(super) fn counter_of(attributes: Option<&Item>) -> Result<i64> {
    let value = attributes.and_then(|attributes| attributes.get(V));
    let Some(AttributeValue::N(sum)) = value else {
        let error = Error::new(ErrorKind::Unavailable, "the response contains no counter");
        return Err(error.with_unknown_outcome());
    };
    // Other programs may have added a fraction, which no condition can detect.
    sum.parse().map_err(|_| corrupt("the counter is no integer").with_unknown_outcome())
}
