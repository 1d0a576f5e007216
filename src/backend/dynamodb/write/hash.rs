//! `hset`, `hset_nx` and `hdel`.

use super::*;
use crate::Value;
use crate::op::{HDel, HSet, HSetNx};
use std::fmt::{self, Write as _};

/// The maximum number of fields in one expression, which has at most 4 KB and 300 operators.
const MAX_FIELDS: usize = 250;

impl WritePlan for HSet {
    fn initial_request(&self) -> Result<NextRequest> {
        if self.fields.is_empty() {
            return Ok(NextRequest::NoOp(None));
        }
        let fields = last_of_each(&self.fields)?;
        if fields.len() > MAX_FIELDS {
            return Ok(NextRequest::MarkFirst);
        }
        Ok(NextRequest::Send(set_fields(&self.key, &fields).only_if(NO_VALUE), OnSuccess::Done))
    }
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest> {
        check_is_hash(item)?;
        let fields = last_of_each(&self.fields)?;
        if fields.len() > MAX_FIELDS {
            return Ok(put_hash(&self.key, item, fields, &[]));
        }
        Ok(NextRequest::Send(set_fields(&self.key, &fields).only_if(NO_VALUE), OnSuccess::Done))
    }
}

impl WritePlan for HSetNx {
    fn initial_request(&self) -> Result<NextRequest> {
        let set = Action::update(&self.key, PLAIN, "SET #f = :f REMOVE t")
            .only_if("attribute_not_exists(#f) AND attribute_not_exists(v)")
            .name("#f", field_name(&self.field))
            .value(":f", binary(&self.value));
        Ok(NextRequest::Send(set, OnSuccess::Applied))
    }
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest> {
        check_is_hash(item)?;
        if item.is_some_and(|item| item.contains_key(&field_name(&self.field))) {
            return Ok(NextRequest::ConditionFailed);
        }
        self.initial_request()
    }
}

impl WritePlan for HDel {
    fn initial_request(&self) -> Result<NextRequest> {
        match self.fields.len() {
            0 => Ok(NextRequest::NoOp(None)),
            1..=MAX_FIELDS => Ok(NextRequest::Send(remove_fields(self), OnSuccess::FieldsRemoved)),
            _ => Ok(NextRequest::MarkFirst),
        }
    }
    fn next_request(&self, item: Option<&Item>) -> Result<NextRequest> {
        check_is_hash(item)?;
        if item.is_none() {
            return Ok(no_op_while(&self.key, PLAIN, ABSENT));
        }
        if self.fields.len() > MAX_FIELDS {
            return Ok(put_hash(&self.key, item, Vec::new(), &self.fields));
        }
        Ok(NextRequest::Send(remove_fields(self), OnSuccess::FieldsRemoved))
    }
}

/// Fails if the item has another type than a hash.
fn check_is_hash(item: Option<&Item>) -> Result<()> {
    match decode_item(item) {
        StoredValue::Absent | StoredValue::Emptied(_) | StoredValue::Hash(_) => Ok(()),
        StoredValue::String(_) | StoredValue::Set(_) | StoredValue::Member(_) => Err(wrong_type()),
    }
}

/// Attribute names and values without duplicate fields. The last value of a field counts.
fn last_of_each(fields: &[(Value, Value)]) -> Result<Vec<(String, &Value)>> {
    let mut fields: Vec<(&Value, &Value)> =
        fields.iter().map(|(field, value)| (field, value)).collect();
    // The sort is stable: after the reversal, the last value of a field comes first.
    fields.sort_by_key(|(field, _)| *field);
    fields.reverse();
    fields.dedup_by_key(|(field, _)| *field);
    check_item_size(fields.iter().map(|(field, value)| field.len() + value.len()))?;
    Ok(fields.into_iter().map(|(field, value)| (field_name(field), value)).collect())
}

fn set_fields(key: &Key, fields: &[(String, &Value)]) -> Action {
    let mut expression = String::with_capacity(16 + 8 * fields.len());
    expression.push_str("SET ");
    for i in 0..fields.len() {
        let comma = if i == 0 { "" } else { "," };
        let name = Placeholder(i);
        let _ = write!(expression, "{comma}#{name}=:{name}");
    }
    expression.push_str(" REMOVE t");
    let mut action = Action::update(key, PLAIN, expression);
    for (i, (name, value)) in fields.iter().enumerate() {
        action.names.insert(format!("#{}", Placeholder(i)), name.clone());
        action.values.insert(format!(":{}", Placeholder(i)), binary(value));
    }
    action
}

fn remove_fields(op: &HDel) -> Action {
    let mut fields: Vec<&Value> = op.fields.iter().collect();
    fields.sort_unstable();
    fields.dedup();
    let mut expression = String::from("SET t = :t REMOVE ");
    for i in 0..fields.len() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(expression, "{comma}#{}", Placeholder(i));
    }
    let mut action = Action::update(&op.key, PLAIN, expression)
        .only_if("attribute_exists(hk) AND attribute_not_exists(v)")
        .value(":t", new_mark())
        .returning(ReturnValue::AllNew);
    for (i, field) in fields.into_iter().enumerate() {
        action.names.insert(format!("#{}", Placeholder(i)), field_name(field));
    }
    action
}

/// Puts the whole hash, for more fields than one expression can name. It replaces the item that was
/// marked before.
fn put_hash(
    key: &Key,
    stored: Option<&Item>,
    added: Vec<(String, &Value)>,
    removed: &[Value],
) -> NextRequest {
    let mark = stored.and_then(|item| item.get(MARK));
    let mut hash = stored.cloned().unwrap_or_default();
    hash.remove(MARK);
    hash.extend(primary_key(key, PLAIN));
    hash.extend(added.into_iter().map(|(name, value)| (name, binary(value))));
    removed.iter().for_each(|field| drop(hash.remove(&field_name(field))));
    let is_empty = !hash.keys().any(|name| name.starts_with('~'));
    let action = if is_empty { Action::delete(key, PLAIN) } else { Action::put(key, hash) };
    if stored.is_none() {
        return NextRequest::Send(action.only_if(ABSENT), OnSuccess::Done);
    }
    replace_emptied(mark, action, OnSuccess::Done)
}

/// A short name for the `i`th field, as an expression has at most 4 KB.
struct Placeholder(usize);

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let mut rest = self.0;
        loop {
            f.write_char(char::from(DIGITS[rest % 62]))?;
            rest /= 62;
            if rest == 0 {
                return Ok(());
            }
        }
    }
}
