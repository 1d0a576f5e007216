//! `delete` and `delete_xx` in an atomic write, of the item of a string, counter, set or hash. A
//! single `delete`, which also deletes sorted sets, is in `single.rs`.

use super::*;
use crate::op::Delete;

impl WritePlan for Delete {
    fn initial_request(&self) -> Result<NextRequest> {
        let condition = if self.must_exist { HAS_VALUE } else { NOT_MEMBER };
        let delete = Action::delete(&self.key, PLAIN).only_if(condition);
        Ok(NextRequest::Send(delete, OnSuccess::Done))
    }
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest> {
        match decode_item(item) {
            StoredValue::Member(_) if !self.must_exist => {
                Ok(no_op_while(&self.key, PLAIN, IS_MEMBER))
            }
            _ if !self.must_exist => self.initial_request(),
            StoredValue::Absent | StoredValue::Emptied(_) | StoredValue::Member(_) => {
                Ok(NextRequest::ConditionFailed)
            }
            StoredValue::Hash(field) => {
                let delete = if_field_exists(Action::delete(&self.key, PLAIN), field);
                Ok(NextRequest::Send(delete, OnSuccess::Done))
            }
            StoredValue::String(_) | StoredValue::Set(_) => self.initial_request(),
        }
    }
}
