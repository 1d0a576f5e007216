//! Limits and grammar of the service that the emulators do not enforce:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>.

use super::{Call, Item, Rules};
use keyvaluestore::backend::DynamoError;
use keyvaluestore::backend::aws_sdk_dynamodb::operation::query::builders::QueryInputBuilder;
use keyvaluestore::backend::aws_sdk_dynamodb::types::{
    AttributeValue, TransactWriteItem, WriteRequest,
};
use std::collections::{HashMap, HashSet};

/// Rejects what the service rejects according to its documentation.
#[derive(Debug, Default)]
pub(crate) struct Strict;

impl Rules for Strict {
    fn before(&self, call: Call<'_>) -> Result<(), DynamoError> {
        refusal(call).map_or(Ok(()), |why| {
            // Printed, too: not every test checks the message.
            eprintln!("Strict refuses {}: {why}", call.name());
            Err(DynamoError::service("ValidationException", why))
        })
    }
    fn processed(&self, of: usize) -> usize {
        of
    }
}

struct Expressions<'e> {
    all: [Option<&'e String>; 5],
    names: Option<&'e HashMap<String, String>>,
    values: Option<&'e Item>,
}

impl Expressions<'_> {
    fn refusal(&self) -> Option<String> {
        let text: Vec<&str> = self.all.iter().flatten().map(|text| text.as_str()).collect();
        for text in &text {
            if text.is_empty() || text.len() > 4_096 {
                return Some(format!("an expression of {} bytes", text.len()));
            }
            let operators = [" OR ", " AND ", "=", "<", ">", "(", " IN "];
            let count: usize = operators.iter().map(|o| text.matches(o).count()).sum();
            if count > 300 {
                return Some(format!("{count} operators"));
            }
        }
        let used = |name: &String| {
            text.iter().any(|text| {
                text.match_indices(name.as_str()).any(|(at, _)| {
                    let next = text[at + name.len()..].chars().next();
                    next.is_none_or(|next| !next.is_ascii_alphanumeric())
                })
            })
        };
        let names = self.names.into_iter().flatten().map(|(name, _)| name);
        let values = self.values.into_iter().flatten().map(|(name, _)| name);
        if let Some(unused) = names.chain(values).find(|name| !used(name)) {
            return Some(format!("{unused} is not used in any expression"));
        }
        if self.names.is_some_and(HashMap::is_empty) || self.values.is_some_and(HashMap::is_empty) {
            return Some("expression attributes must not be empty".into());
        }
        self.values.into_iter().flatten().find_map(|(_, value)| of_value(value))
    }
}

fn of_value(value: &AttributeValue) -> Option<String> {
    match value {
        AttributeValue::Bs(members) if members.is_empty() => Some("an empty set".into()),
        AttributeValue::Bs(members) => {
            let distinct: HashSet<&[u8]> = members.iter().map(AsRef::as_ref).collect();
            (distinct.len() < members.len()).then(|| "a set with duplicates".into())
        }
        AttributeValue::N(number) if number.trim_start_matches('-').len() > 38 => {
            Some("a number of more than 38 digits".into())
        }
        _ => None,
    }
}

fn of_item(item: &Item) -> Option<String> {
    let size = |value: &AttributeValue| match value {
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::N(number) => number.len() / 2 + 2,
        AttributeValue::Bs(members) => members.iter().map(|m| m.as_ref().len()).sum(),
        other => panic!("the backend writes no {other:?}"),
    };
    let total: usize = item.iter().map(|(name, value)| name.len() + size(value)).sum();
    if total > 400 * 1_024 {
        return Some("Item size has exceeded the maximum allowed size".into());
    }
    if let Some(AttributeValue::B(key)) = item.get("rk2")
        && !(1..=1_024).contains(&key.as_ref().len())
    {
        return Some(
            "Aggregated size of all range keys has exceeded the size limit of 1024 bytes".into(),
        );
    }
    of_key(item).or_else(|| item.values().find_map(of_value))
}

fn of_key(key: &Item) -> Option<String> {
    for (name, most) in [("hk", 2_048), ("rk", 1_024)] {
        match key.get(name) {
            Some(AttributeValue::B(bytes)) if (1..=most).contains(&bytes.as_ref().len()) => {}
            _ => return Some(format!("the key {name}: size limit of {most}")),
        }
    }
    None
}

fn primary(key: &Item) -> (Vec<u8>, Vec<u8>) {
    let of = |name| key[name].as_b().map(|bytes| bytes.as_ref().to_vec()).unwrap_or_default();
    (of("hk"), of("rk"))
}

fn of_keys(keys: Vec<&Item>, most: usize) -> Option<String> {
    if keys.is_empty() || keys.len() > most {
        return Some(format!("{} items", keys.len()));
    }
    if let Some(why) = keys.iter().find_map(|key| of_key(key)) {
        return Some(why);
    }
    let distinct: HashSet<_> = keys.iter().map(|key| primary(key)).collect();
    (distinct.len() < keys.len()).then(|| "Provided list of item keys contains duplicates".into())
}

fn refusal(call: Call<'_>) -> Option<String> {
    match call {
        Call::GetItem(input) => {
            let all = [input.get_projection_expression().as_ref(), None, None, None, None];
            let names = input.get_expression_attribute_names().as_ref();
            of_key(input.get_key().as_ref()?)
                .or_else(|| Expressions { all, names, values: None }.refusal())
        }
        Call::PutItem(input) => {
            let all = [input.get_condition_expression().as_ref(), None, None, None, None];
            let names = input.get_expression_attribute_names().as_ref();
            let values = input.get_expression_attribute_values().as_ref();
            of_item(input.get_item().as_ref()?)
                .or_else(|| Expressions { all, names, values }.refusal())
        }
        Call::UpdateItem(input) => {
            let (update, condition) =
                (input.get_update_expression(), input.get_condition_expression());
            let all = [update.as_ref(), condition.as_ref(), None, None, None];
            let names = input.get_expression_attribute_names().as_ref();
            let values = input.get_expression_attribute_values().as_ref();
            of_key(input.get_key().as_ref()?)
                .or_else(|| of_index_key(values))
                .or_else(|| Expressions { all, names, values }.refusal())
        }
        Call::DeleteItem(input) => {
            let all = [input.get_condition_expression().as_ref(), None, None, None, None];
            let names = input.get_expression_attribute_names().as_ref();
            let values = input.get_expression_attribute_values().as_ref();
            of_key(input.get_key().as_ref()?)
                .or_else(|| Expressions { all, names, values }.refusal())
        }
        Call::Query(input) => of_query(input),
        Call::BatchGetItem(input) => {
            let tables = input.get_request_items().as_ref()?;
            of_keys(tables.values().flat_map(|keys| &keys.keys).collect(), 100)
        }
        Call::BatchWriteItem(input) => {
            of_requests(input.get_request_items().as_ref()?.values().flatten().collect())
        }
        Call::TransactGetItems(input) => {
            let gets = input.get_transact_items().as_ref()?;
            of_keys(gets.iter().filter_map(|get| get.get()).map(|get| get.key()).collect(), 100)
        }
        Call::TransactWriteItems(input) => {
            if input
                .get_client_request_token()
                .as_ref()
                .is_none_or(|t| !(1..=36).contains(&t.len()))
            {
                return Some("a token has 1 to 36 characters".into());
            }
            let parts = input.get_transact_items().as_ref()?;
            let keys: Vec<&Item> = parts.iter().map(key_of).collect();
            of_keys(keys, 100).or_else(|| parts.iter().find_map(of_part))
        }
    }
}

fn of_query(input: &QueryInputBuilder) -> Option<String> {
    let (key, filter) = (input.get_key_condition_expression(), input.get_filter_expression());
    let projection = input.get_projection_expression().as_ref();
    let all = [key.as_ref(), filter.as_ref(), projection, None, None];
    let names = input.get_expression_attribute_names().as_ref();
    let values = input.get_expression_attribute_values().as_ref()?;
    of_condition(key.as_ref()?, values)
        .or_else(|| Expressions { all, names, values: Some(values) }.refusal())
}

fn of_requests(requests: Vec<&WriteRequest>) -> Option<String> {
    let key = |request: &&WriteRequest| match request.put_request() {
        Some(put) => put.item().clone(),
        None => request.delete_request().unwrap().key().clone(),
    };
    let keys: Vec<Item> = requests.iter().map(key).collect();
    let put = |request: &&WriteRequest| of_item(request.put_request()?.item());
    of_keys(keys.iter().collect(), 25).or_else(|| requests.iter().find_map(put))
}

fn key_of(part: &TransactWriteItem) -> &Item {
    match (part.put(), part.update(), part.delete(), part.condition_check()) {
        (Some(put), ..) => put.item(),
        (_, Some(update), ..) => update.key(),
        (.., Some(delete), _) => delete.key(),
        (.., Some(check)) => check.key(),
        _ => panic!("a part of nothing"),
    }
}

fn of_part(part: &TransactWriteItem) -> Option<String> {
    let own = |text: Option<&str>| text.map(str::to_owned);
    let (item, update, condition, names, values) =
        match (part.put(), part.update(), part.delete(), part.condition_check()) {
            (Some(p), ..) => (
                of_item(p.item()),
                None,
                own(p.condition_expression()),
                p.expression_attribute_names(),
                p.expression_attribute_values(),
            ),
            (_, Some(u), ..) => (
                of_index_key(u.expression_attribute_values()),
                Some(u.update_expression().to_owned()),
                own(u.condition_expression()),
                u.expression_attribute_names(),
                u.expression_attribute_values(),
            ),
            (.., Some(d), _) => (
                None,
                None,
                own(d.condition_expression()),
                d.expression_attribute_names(),
                d.expression_attribute_values(),
            ),
            (.., Some(c)) => (
                None,
                None,
                Some(c.condition_expression().to_owned()),
                c.expression_attribute_names(),
                c.expression_attribute_values(),
            ),
            _ => panic!("a part of nothing"),
        };
    let all = [update.as_ref(), condition.as_ref(), None, None, None];
    item.or_else(|| Expressions { all, names, values }.refusal())
}

/// The only expression of an update that writes an index key is `SET rk2 = :new`.
fn of_index_key(values: Option<&Item>) -> Option<String> {
    let new = values?.get(":new")?.as_b().ok()?.as_ref().len();
    (!(1..=1_024).contains(&new)).then(|| "size limit of 1024 bytes".into())
}

fn of_condition(condition: &str, values: &Item) -> Option<String> {
    let value = |name: &str| values.get(name).and_then(|value| value.as_b().ok());
    for name in [":k", ":a", ":z"] {
        let Some(bytes) = value(name) else { continue };
        let most = if name == ":k" { 2_048 } else { 1_024 };
        if !(1..=most).contains(&bytes.as_ref().len()) {
            return Some(format!("{name} is empty or too long for a key"));
        }
    }
    let (Some(low), Some(high)) = (value(":a"), value(":z")) else { return None };
    (condition.contains("BETWEEN") && low.as_ref() > high.as_ref())
        .then(|| "The BETWEEN operator requires upper bound to be greater".into())
}
