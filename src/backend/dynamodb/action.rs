//! A write as DynamoDB has it: what it does to one item under which condition. Alone it becomes a
//! `PutItem`, an `UpdateItem` or a `DeleteItem`, in an atomic write a part of `TransactWriteItems`.

use super::api::Item;
use super::call::{Again, Trip};
use super::error::{DynamoError, Found, What};
use super::items::{RK, map, primary};
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
pub(super) enum Verb {
    /// Replaces the item by this one.
    Put(Item),
    /// Changes attributes of the item.
    Update {
        rk: Vec<u8>,
        expression: Text,
    },
    Delete {
        rk: Vec<u8>,
    },
    /// Changes nothing: in a transaction alone.
    Check {
        rk: Vec<u8>,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) key: Key,
    pub(super) verb: Verb,
    pub(super) condition: Option<Text>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
    /// What the answer is to bear; alone only, as a transaction answers nothing.
    pub(super) returns: Option<ReturnValue>,
    /// Whether it matters what a condition that fails has found.
    pub(super) looks: bool,
}

impl Action {
    fn new(key: &Key, verb: Verb) -> Self {
        Action {
            key: key.clone(),
            verb,
            condition: None,
            names: map(0),
            values: map(0),
            returns: None,
            looks: true,
        }
    }
    pub(super) fn put(key: &Key, item: Item) -> Self {
        Action::new(key, Verb::Put(item))
    }
    pub(super) fn update(key: &Key, rk: &[u8], expression: impl Into<Text>) -> Self {
        Action::new(key, Verb::Update { rk: rk.to_vec(), expression: expression.into() })
    }
    pub(super) fn delete(key: &Key, rk: &[u8]) -> Self {
        Action::new(key, Verb::Delete { rk: rk.to_vec() })
    }
    pub(super) fn check(key: &Key, rk: &[u8]) -> Self {
        Action::new(key, Verb::Check { rk: rk.to_vec() })
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
    pub(super) fn returning(mut self, returns: ReturnValue) -> Self {
        self.returns = Some(returns);
        self
    }
    /// The condition says all: if it fails, nobody has to know what was found.
    pub(super) fn without_looking(mut self) -> Self {
        self.looks = false;
        self
    }
    /// Its condition alone, if it has one.
    pub(super) fn into_check(self) -> Option<Self> {
        let rk = match self.verb {
            Verb::Put(mut item) => match item.remove(RK) {
                Some(AttributeValue::B(rk)) => rk.into_inner(),
                _ => return None,
            },
            Verb::Update { rk, .. } | Verb::Delete { rk } | Verb::Check { rk } => rk,
        };
        // A value that no expression names is refused.
        let condition = self.condition.as_deref()?;
        let named = |name: &String| mentions(condition, name);
        let values = self.values.into_iter().filter(|(name, _)| named(name)).collect();
        let names = self.names.into_iter().filter(|(name, _)| named(name)).collect();
        Some(Action { verb: Verb::Check { rk }, values, names, ..self })
    }
    /// As a part of a transaction.
    pub(super) fn into_part(self, table: &str) -> Result<TransactWriteItem, Error> {
        let old = self.asks();
        macro_rules! part {
            ($builder:expr) => {
                $builder
                    .table_name(table)
                    .set_condition_expression(self.condition.map(Cow::into_owned))
                    .set_expression_attribute_names(some(self.names))
                    .set_expression_attribute_values(some(self.values))
                    .set_return_values_on_condition_check_failure(old)
                    .build()
                    .map_err(unbuildable)?
            };
        }
        let part = TransactWriteItem::builder();
        let key = |rk: Vec<u8>| Some(primary(&self.key, &rk));
        Ok(match self.verb {
            Verb::Put(item) => part.put(part!(Put::builder().set_item(Some(item)))),
            Verb::Update { rk, expression } => {
                let update = Update::builder().update_expression(expression);
                part.update(part!(update.set_key(key(rk))))
            }
            Verb::Delete { rk } => part.delete(part!(Delete::builder().set_key(key(rk)))),
            Verb::Check { rk } => {
                part.condition_check(part!(ConditionCheck::builder().set_key(key(rk))))
            }
        }
        .build())
    }

    /// Applies it alone. `Ok(Err(…))` is what a condition that failed has found.
    pub(super) async fn apply(
        self,
        trip: &Trip<'_>,
    ) -> Result<Result<Option<Item>, Found>, DynamoError> {
        match self.send(trip).await {
            Ok(attributes) => Ok(Ok(attributes)),
            Err(error) => match error.take() {
                (What::ConditionFailed(found), _) => Ok(Err(found)),
                (what, source) => Err(DynamoError::put_back(what, source)),
            },
        }
    }

    fn asks(&self) -> Option<ReturnValuesOnConditionCheckFailure> {
        let asks = self.looks && self.condition.is_some();
        asks.then_some(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    async fn send(self, trip: &Trip<'_>) -> Result<Option<Item>, DynamoError> {
        let api = trip.writer();
        let old = self.asks();
        macro_rules! input {
            ($builder:path) => {
                <$builder>::default()
                    .table_name(trip.table())
                    .set_condition_expression(self.condition.map(Cow::into_owned))
                    .set_expression_attribute_names(some(self.names))
                    .set_expression_attribute_values(some(self.values))
                    .set_return_values(self.returns)
                    .set_return_values_on_condition_check_failure(old)
                    .set_return_consumed_capacity(trip.capacity())
            };
        }
        Ok(match self.verb {
            Verb::Put(item) => {
                let input = input!(PutItemInputBuilder).set_item(Some(item));
                let put = || api.put_item(input.clone());
                trip.send("PutItem", Again::Unsafe, put).await?.attributes
            }
            Verb::Update { rk, expression } => {
                let input = input!(UpdateItemInputBuilder)
                    .set_key(Some(primary(&self.key, &rk)))
                    .update_expression(expression);
                let update = || api.update_item(input.clone());
                trip.send("UpdateItem", Again::Unsafe, update).await?.attributes
            }
            Verb::Delete { rk } => {
                let input = input!(DeleteItemInputBuilder).set_key(Some(primary(&self.key, &rk)));
                let delete = || api.delete_item(input.clone());
                trip.send("DeleteItem", Again::Unsafe, delete).await?.attributes
            }
            // Alone there is nothing that it could hold back.
            Verb::Check { .. } => None,
        })
    }
}

/// DynamoDB refuses what is empty.
fn some<T>(map: HashMap<String, T>) -> Option<HashMap<String, T>> {
    (!map.is_empty()).then_some(map)
}

/// Whether an expression names a placeholder, and not only one that begins so.
fn mentions(expression: &str, name: &str) -> bool {
    expression.match_indices(name).any(|(at, _)| {
        let next = expression[at + name.len()..].chars().next();
        next.is_none_or(|next| !next.is_ascii_alphanumeric())
    })
}

pub(super) fn unbuildable(error: aws_sdk_dynamodb::error::BuildError) -> Error {
    Error::new(crate::ErrorKind::Other, "the request cannot be made").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::super::items::bytes;
    use super::*;

    #[test]
    fn a_check_keeps_what_its_condition_names() {
        let put = Action::put(&"k".into(), primary(b"k", b"_"))
            .only_if("v = :a OR #n = :ab")
            .value(":a", bytes(b"1"))
            .value(":ab", bytes(b"2"))
            .value(":abc", bytes(b"3"))
            .name("#n", "x")
            .name("#m", "y");
        let check = put.into_check().unwrap();
        let mut values: Vec<_> = check.values.into_keys().collect();
        values.sort_unstable();
        assert_eq!(values, [":a", ":ab"]);
        assert_eq!(check.names.into_keys().collect::<Vec<_>>(), ["#n"]);
        assert!(mentions("v = :a", ":a") && !mentions("v = :ab", ":a"));
    }
}
