//! [`Action`]: a conditional write of one item. It is sent as `PutItem`, `UpdateItem` or
//! `DeleteItem`, or becomes one action of `TransactWriteItems`.

use super::call::{Idempotent, RequestContext};
use super::error::{ConflictingItem, DynamoError, DynamoErrorKind, build_error};
use super::items::{Item, RK, deterministic_map, primary_key};
use crate::{Error, Key};
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemInputBuilder;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemInputBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemInputBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValue, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use std::borrow::Cow;
use std::collections::HashMap;

pub(super) type Text = Cow<'static, str>;

#[derive(Clone, Debug)]
pub(super) enum ActionKind {
    Put(Item),
    Update {
        rk: Vec<u8>,
        expression: Text,
    },
    Delete {
        rk: Vec<u8>,
    },
    /// Changes nothing. Only transactions have it.
    ConditionCheck {
        rk: Vec<u8>,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) key: Key,
    pub(super) kind: ActionKind,
    pub(super) condition: Option<Text>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
    /// The attributes that the response contains. A transaction returns none.
    pub(super) return_values: Option<ReturnValue>,
    /// Whether the error of a failed condition contains the item.
    pub(super) returns_conflict: bool,
}

impl Action {
    fn new(key: &Key, kind: ActionKind) -> Self {
        Action {
            key: key.clone(),
            kind,
            condition: None,
            names: deterministic_map(0),
            values: deterministic_map(0),
            return_values: None,
            returns_conflict: true,
        }
    }
    pub(super) fn put(key: &Key, item: Item) -> Self {
        Action::new(key, ActionKind::Put(item))
    }
    pub(super) fn update(key: &Key, rk: &[u8], expression: impl Into<Text>) -> Self {
        Action::new(key, ActionKind::Update { rk: rk.to_vec(), expression: expression.into() })
    }
    pub(super) fn delete(key: &Key, rk: &[u8]) -> Self {
        Action::new(key, ActionKind::Delete { rk: rk.to_vec() })
    }
    pub(super) fn condition_check(key: &Key, rk: &[u8]) -> Self {
        Action::new(key, ActionKind::ConditionCheck { rk: rk.to_vec() })
    }
    pub(super) fn only_if(mut self, condition: impl Into<Text>) -> Self {
        self.condition = Some(condition.into());
        self
    }
    pub(super) fn value(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }
    pub(super) fn name(mut self, name: impl Into<String>, attribute: impl Into<String>) -> Self {
        self.names.insert(name.into(), attribute.into());
        self
    }
    pub(super) fn returning(mut self, values: ReturnValue) -> Self {
        self.return_values = Some(values);
        self
    }
    /// If the condition fails, the item does not matter.
    pub(super) fn without_conflicting_item(mut self) -> Self {
        self.returns_conflict = false;
        self
    }
    /// Only the condition, if there is one.
    pub(super) fn into_condition_check(self) -> Option<Self> {
        let rk = match self.kind {
            ActionKind::Put(mut item) => match item.remove(RK) {
                Some(AttributeValue::B(rk)) => rk.into_inner(),
                _ => return None,
            },
            ActionKind::Update { rk, .. }
            | ActionKind::Delete { rk }
            | ActionKind::ConditionCheck { rk } => rk,
        };
        // DynamoDB rejects names and values that no expression uses.
        let condition = self.condition.as_deref()?;
        let is_used = |name: &String| uses_placeholder(condition, name);
        let values = self.values.into_iter().filter(|(name, _)| is_used(name)).collect();
        let names = self.names.into_iter().filter(|(name, _)| is_used(name)).collect();
        Some(Action { kind: ActionKind::ConditionCheck { rk }, values, names, ..self })
    }
    /// The action of a transaction.
    pub(super) fn into_transact_item(self, table: &str) -> Result<TransactWriteItem, Error> {
        let on_failed_condition = self.on_failed_condition();
        macro_rules! build {
            ($builder:expr) => {
                $builder
                    .table_name(table)
                    .set_condition_expression(self.condition.map(Cow::into_owned))
                    .set_expression_attribute_names(non_empty(self.names))
                    .set_expression_attribute_values(non_empty(self.values))
                    .set_return_values_on_condition_check_failure(on_failed_condition)
                    .build()
                    .map_err(build_error)?
            };
        }
        let item = TransactWriteItem::builder();
        let key = |rk: Vec<u8>| Some(primary_key(&self.key, &rk));
        Ok(match self.kind {
            ActionKind::Put(put) => item.put(build!(Put::builder().set_item(Some(put)))),
            ActionKind::Update { rk, expression } => {
                let update = Update::builder().update_expression(expression);
                item.update(build!(update.set_key(key(rk))))
            }
            ActionKind::Delete { rk } => item.delete(build!(Delete::builder().set_key(key(rk)))),
            ActionKind::ConditionCheck { rk } => {
                item.condition_check(build!(ConditionCheck::builder().set_key(key(rk))))
            }
        }
        .build())
    }

    /// Sends it as a single write. `Ok(Err(…))` means that the condition failed.
    pub(super) async fn apply(
        self,
        cx: &RequestContext<'_>,
    ) -> Result<Result<Option<Item>, ConflictingItem>, DynamoError> {
        match self.send(cx).await {
            Ok(attributes) => Ok(Ok(attributes)),
            Err(error) => match error.into_parts() {
                (DynamoErrorKind::ConditionFailed(item), _) => Ok(Err(item)),
                (kind, source) => Err(DynamoError::from_parts(kind, source)),
            },
        }
    }

    fn on_failed_condition(&self) -> Option<ReturnValuesOnConditionCheckFailure> {
        let returns_item = self.returns_conflict && self.condition.is_some();
        returns_item.then_some(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    async fn send(self, cx: &RequestContext<'_>) -> Result<Option<Item>, DynamoError> {
        let api = cx.writer();
        let on_failed_condition = self.on_failed_condition();
        macro_rules! input {
            ($builder:path) => {
                <$builder>::default()
                    .table_name(cx.table())
                    .set_condition_expression(self.condition.map(Cow::into_owned))
                    .set_expression_attribute_names(non_empty(self.names))
                    .set_expression_attribute_values(non_empty(self.values))
                    .set_return_values(self.return_values)
                    .set_return_values_on_condition_check_failure(on_failed_condition)
                    .set_return_consumed_capacity(cx.return_capacity())
            };
        }
        Ok(match self.kind {
            ActionKind::Put(item) => {
                let input = input!(PutItemInputBuilder).set_item(Some(item));
                let put = || api.put_item(input.clone());
                cx.send("PutItem", Idempotent::No, put).await?.attributes
            }
            ActionKind::Update { rk, expression } => {
                let input = input!(UpdateItemInputBuilder)
                    .set_key(Some(primary_key(&self.key, &rk)))
                    .update_expression(expression);
                let update = || api.update_item(input.clone());
                cx.send("UpdateItem", Idempotent::No, update).await?.attributes
            }
            ActionKind::Delete { rk } => {
                let input =
                    input!(DeleteItemInputBuilder).set_key(Some(primary_key(&self.key, &rk)));
                let delete = || api.delete_item(input.clone());
                cx.send("DeleteItem", Idempotent::No, delete).await?.attributes
            }
            // There is no other write that it could prevent.
            ActionKind::ConditionCheck { .. } => None,
        })
    }
}

/// DynamoDB rejects empty maps.
fn non_empty<T>(map: HashMap<String, T>) -> Option<HashMap<String, T>> {
    (!map.is_empty()).then_some(map)
}

/// Whether an expression uses a placeholder, not only a longer one with this prefix.
fn uses_placeholder(expression: &str, name: &str) -> bool {
    expression.match_indices(name).any(|(at, _)| {
        let next = expression[at + name.len()..].chars().next();
        next.is_none_or(|next| !next.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::super::items::binary;
    use super::*;

    #[test]
    fn a_check_keeps_what_its_condition_names() {
        let put = Action::put(&"k".into(), primary_key(b"k", b"_"))
            .only_if("v = :a OR #n = :ab")
            .value(":a", binary(b"1"))
            .value(":ab", binary(b"2"))
            .value(":abc", binary(b"3"))
            .name("#n", "x")
            .name("#m", "y");
        let check = put.into_condition_check().unwrap();
        let mut values: Vec<_> = check.values.into_keys().collect();
        values.sort_unstable();
        assert_eq!(values, [":a", ":ab"]);
        assert_eq!(check.names.into_keys().collect::<Vec<_>>(), ["#n"]);
        assert!(uses_placeholder("v = :a", ":a") && !uses_placeholder("v = :ab", ":a"));
    }
}
