//! Every write: what it sends at first, knowing nothing, and what it sends next, knowing what its
//! condition has found.
//!
//! The first try is one request for whatever is usual. Its condition holds only where the write is
//! right, so that a wrong type, an overflow or a leftover shows as a condition that fails, and the
//! answer bears the item as it is. [`informed`] judges that item: the contract's condition has
//! failed, or there is nothing to do, or an error, or another request, which then holds on to what
//! was found.

use super::action::Action;
use super::api::Item;
use super::items::*;
use crate::op::*;
use crate::op::{Condition, Reply, Score, Write};
use crate::{Error, ErrorKind, Key, Result, Value};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use std::collections::HashSet;
use std::fmt::Write as _;

/// As many fields are named in one expression, which is 4 KB long at most, with at most 300
/// operators.
const FIELDS: usize = 250;
/// The longest item.
const ITEM: usize = 400 * 1_024;

/// What to do next for a write.
#[derive(Debug)]
pub(super) enum Step {
    /// To apply this; its success is the write's, and answered by [`Done`].
    Do(Action, Done),
    /// To look at the item first.
    Look(Vec<u8>),
    /// To mark the item first, so that what is done with it next fails if something was added
    /// meanwhile.
    Mark,
    /// The condition of the write does not hold.
    Failed,
    /// There is nothing to do, for as long as this holds.
    Nothing(Option<Action>),
}

/// What a successful action answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Done {
    Unit,
    Applied,
    /// The counter, which the answer bears.
    Counter,
    Integer(i64),
    Score(f64),
    /// Fields were removed, and the answer bears what is left: perhaps nothing.
    Removed,
}

/// Where a write of a sorted set meets the range key of all other types.
fn is_plain(member: &[u8]) -> bool {
    member == PLAIN
}

const NOTHING: &str = "attribute_not_exists(hk)";
const NO_VALUE: &str = "attribute_not_exists(v)";
const VALUE: &str = "attribute_exists(v) AND attribute_not_exists(rk2)";
const NOT_SORTED: &str = "attribute_not_exists(rk2)";
const MARKED: &str = "t = :t AND attribute_not_exists(v)";
const UNCHANGED: &str = "v = :old";

/// The first step of a write in an atomic write or, but for `delete`, alone.
pub(super) fn first(op: &Write) -> Result<Step> {
    let (action, done) = match op {
        Write::Set(op) => (set(op), Done::Applied),
        Write::Delete(Delete { key, must_exist, .. }) => (
            Action::delete(key, PLAIN).only_if(if *must_exist { VALUE } else { NOT_SORTED }),
            Done::Unit,
        ),
        Write::IncrBy(op) => (incr_by(op), Done::Counter),
        Write::SAdd(op) if op.members.is_empty() => return Ok(Step::Nothing(None)),
        Write::SAdd(op) => (sadd(op)?, Done::Unit),
        Write::SRem(op) if op.members.is_empty() => return Ok(Step::Nothing(None)),
        // More than a set can hold: some of them are not there.
        Write::SRem(op) if is_too_long(op) => return Ok(Step::Look(PLAIN.to_vec())),
        Write::SRem(op) => (srem(op), Done::Unit),
        Write::HSet(op) if op.fields.is_empty() => return Ok(Step::Nothing(None)),
        Write::HSet(op) => match last_of_each(&op.fields)? {
            fields if fields.len() > FIELDS => return Ok(Step::Mark),
            fields => (hset(&op.key, &fields).only_if(NO_VALUE), Done::Unit),
        },
        Write::HSetNx(op) => (hset_nx(op), Done::Applied),
        Write::HDel(op) if op.fields.is_empty() => return Ok(Step::Nothing(None)),
        Write::HDel(op) if op.fields.len() > FIELDS => return Ok(Step::Mark),
        Write::HDel(op) => (hdel(op), Done::Removed),
        Write::ZAdd(op) => {
            let put = zadd(op)?;
            let put = match (op.nx, is_plain(&op.member)) {
                (true, _) => put.only_if(NOTHING),
                (false, true) => put.only_if("attribute_not_exists(hk) OR attribute_exists(rk2)"),
                (false, false) => put,
            };
            (put, Done::Applied)
        }
        Write::ZRem(ZRem { key, member, .. }) => {
            check_member(member)?;
            let delete = Action::delete(key, member);
            let plain = is_plain(member);
            (if plain { delete.only_if("attribute_exists(rk2)") } else { delete }, Done::Unit)
        }
        Write::ZIncrBy(op) => {
            check_member(&op.member)?;
            return Ok(Step::Look(op.member.to_vec()));
        }
    };
    Ok(Step::Do(action, done))
}

/// The next step, from the item as it was found.
pub(super) fn informed(op: &Write, item: Option<&Item>) -> Result<Step> {
    let found = holds(item);
    let step = match op {
        Write::Set(op) => set_next(op, found)?,
        Write::Delete(Delete { key, must_exist: false, .. }) => match found {
            Holds::Member(_) => nothing_while(key, PLAIN, "attribute_exists(rk2)"),
            _ => return first(&Write::from(Delete::new(key))),
        },
        Write::Delete(Delete { key, .. }) => match found {
            Holds::Nothing | Holds::Leftover(_) | Holds::Member(_) => Step::Failed,
            Holds::Hash(field) => {
                Step::Do(with_field(Action::delete(key, PLAIN), field), Done::Unit)
            }
            Holds::Text(_) | Holds::Set(_) => {
                return first(&Write::from(Delete::new(key).must_exist(true)));
            }
        },
        Write::IncrBy(op) => incr_by_next(op, found)?,
        Write::SAdd(op) => match found {
            Holds::Nothing | Holds::Set(_) => Step::Do(sadd(op)?, Done::Unit),
            Holds::Leftover(mark) => replacing(
                mark,
                Action::put(&op.key, item_of(&op.key, members_attribute(&op.members))),
                Done::Unit,
            ),
            _ => return Err(wrong_type()),
        },
        Write::SRem(op) => match found {
            Holds::Nothing | Holds::Leftover(_) => nothing_while(&op.key, PLAIN, NO_VALUE),
            Holds::Set(members) => srem_next(op, members),
            _ => return Err(wrong_type()),
        },
        Write::HSet(op) => match found {
            Holds::Text(_) | Holds::Set(_) | Holds::Member(_) => return Err(wrong_type()),
            _ => match last_of_each(&op.fields)? {
                fields if fields.len() > FIELDS => put_fields(&op.key, item, fields, &[])?,
                fields => Step::Do(hset(&op.key, &fields).only_if(NO_VALUE), Done::Unit),
            },
        },
        Write::HSetNx(op) => match found {
            Holds::Text(_) | Holds::Set(_) | Holds::Member(_) => return Err(wrong_type()),
            _ if item.is_some_and(|item| item.contains_key(&field_name(&op.field))) => Step::Failed,
            _ => Step::Do(hset_nx(op), Done::Applied),
        },
        Write::HDel(op) => match found {
            Holds::Nothing => nothing_while(&op.key, PLAIN, NOTHING),
            Holds::Leftover(_) | Holds::Hash(_) if op.fields.len() > FIELDS => {
                put_fields(&op.key, item, Vec::new(), &op.fields)?
            }
            Holds::Leftover(_) | Holds::Hash(_) => Step::Do(hdel(op), Done::Removed),
            _ => return Err(wrong_type()),
        },
        Write::ZAdd(op) => match found {
            Holds::Member(_) if op.nx => Step::Failed,
            Holds::Leftover(mark) => replacing(mark, zadd(op)?, Done::Applied),
            Holds::Nothing | Holds::Member(_) => return first(&Write::from(op.clone())),
            _ => return Err(wrong_type()),
        },
        Write::ZRem(op) => match found {
            Holds::Member(_) => return first(&Write::from(op.clone())),
            _ => nothing_while(&op.key, &op.member, NOT_SORTED),
        },
        Write::ZIncrBy(op) => zincr_by_next(op, found)?,
    };
    Ok(step)
}

/// There is nothing to do for as long as `condition` holds, which an atomic write has to make sure
/// of.
fn nothing_while(key: &Key, rk: &[u8], condition: &'static str) -> Step {
    Step::Nothing(Some(Action::check(key, rk).only_if(condition)))
}

/// Puts an item in the place of a leftover, unless something has been added to that meanwhile.
fn replacing(mark: Option<&AttributeValue>, put: Action, done: Done) -> Step {
    match mark {
        Some(mark) => Step::Do(put.only_if(MARKED).value(":t", mark.clone()), done),
        None => Step::Mark,
    }
}

fn with_field(action: Action, field: &str) -> Action {
    action.only_if("attribute_exists(#f)").name("#f", field)
}

/// A new mark, unlike every other.
fn mark() -> AttributeValue {
    bytes(&fastrand::u64(..).to_be_bytes())
}
/// Marks what may be a leftover or a hash; the answer bears the item as it is then.
pub(super) fn marking(key: &Key) -> Action {
    Action::update(key, PLAIN, "SET t = :t")
        .only_if("attribute_exists(hk) AND attribute_not_exists(v)")
        .value(":t", mark())
        .returning(ReturnValue::AllNew)
}
/// Removes the item whose last field was removed, unless something has been added since.
pub(super) fn sweeping(key: &Key, mark: &AttributeValue) -> Action {
    Action::delete(key, PLAIN).only_if(MARKED).value(":t", mark.clone())
}

fn item_of(key: &Key, value: AttributeValue) -> Item {
    item(key, PLAIN, [(V, value)])
}

fn set(op: &Set) -> Action {
    let put = Action::put(&op.key, item_of(&op.key, bytes(&op.value)));
    match &op.condition {
        Condition::Always => put,
        Condition::NotExists => put.only_if(NOTHING),
        Condition::Exists => put.only_if(VALUE),
        Condition::Equals(old) => match old.as_canonical_integer() {
            Some(n) => put
                .only_if("v IN (:old, :number) AND attribute_not_exists(rk2)")
                .value(":number", number(n)),
            None => put.only_if("v = :old AND attribute_not_exists(rk2)"),
        }
        .value(":old", bytes(old))
        .without_looking(),
    }
}
fn set_next(op: &Set, found: Holds<'_>) -> Result<Step> {
    let again = || Step::Do(set(op), Done::Applied);
    let put = || Action::put(&op.key, item_of(&op.key, bytes(&op.value)));
    Ok(match (&op.condition, found) {
        (Condition::Always, _) => again(),
        (Condition::NotExists, Holds::Nothing) => again(),
        (Condition::NotExists, Holds::Leftover(mark)) => replacing(mark, put(), Done::Applied),
        (Condition::NotExists, Holds::Member(_)) => return Err(wrong_type()),
        (Condition::Exists, Holds::Text(_) | Holds::Set(_)) => again(),
        (Condition::Exists, Holds::Hash(field)) => {
            Step::Do(with_field(put(), field), Done::Applied)
        }
        (Condition::Equals(old), Holds::Text(now)) if value(now.clone())? == *old => again(),
        _ => Step::Failed,
    })
}

/// `ADD`, where the sum is sure to fit.
fn incr_by(op: &IncrBy) -> Action {
    // Others may have driven it out of the range, on either side.
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
fn incr_by_next(op: &IncrBy, found: Holds<'_>) -> Result<Step> {
    let put = |n| Action::put(&op.key, item_of(&op.key, number(n)));
    let old = match found {
        Holds::Nothing => return Ok(Step::Do(incr_by(op), Done::Counter)),
        Holds::Leftover(mark) => return Ok(replacing(mark, put(op.by), Done::Integer(op.by))),
        Holds::Text(old) => old,
        _ => return Err(wrong_type()),
    };
    let sum = match value(old.clone())?.as_canonical_integer() {
        Some(now) => now.checked_add(op.by),
        None => return Err(Error::wrong_type("the string is not a decimal integer")),
    };
    let Some(sum) = sum else {
        return Err(Error::new(ErrorKind::Overflow, "the sum does not fit into 64 bits"));
    };
    Ok(match old {
        AttributeValue::N(_) => Step::Do(incr_by(op), Done::Counter),
        // A number that was written as text: from here on it is one.
        _ => {
            let put = put(sum).only_if(UNCHANGED).value(":old", old.clone());
            Step::Do(put, Done::Integer(sum))
        }
    })
}

fn sadd(op: &SAdd) -> Result<Action> {
    let members = members_attribute(&op.members);
    check_size(members.as_bs().into_iter().flatten().map(|member| member.as_ref().len()))?;
    Ok(Action::update(&op.key, PLAIN, "ADD v :v REMOVE t")
        .only_if("attribute_not_exists(hk) OR attribute_type(v, :bs)")
        .value(":v", members)
        .value(":bs", AttributeValue::S("BS".into())))
}

/// Removes members, where more are there than are removed, so that no empty set is left.
fn srem(op: &SRem) -> Action {
    let members = members_attribute(&op.members);
    let n = members.as_bs().map_or(0, |members| members.len());
    Action::update(&op.key, PLAIN, "DELETE v :v")
        .only_if("attribute_type(v, :bs) AND size(v) > :n")
        .value(":v", members)
        .value(":bs", AttributeValue::S("BS".into()))
        .value(":n", number(n as u64))
}
/// Whether its members do not fit into a set, and so are not all there, nor into a request.
fn is_too_long(op: &SRem) -> bool {
    check_size(op.members.iter().map(|member| member.len())).is_err()
}
fn srem_next(op: &SRem, members: &[Blob]) -> Step {
    let removed: HashSet<&[u8]> = op.members.iter().map(|member| &member[..]).collect();
    if members.len() > removed.len() && !is_too_long(op) {
        return Step::Do(srem(op), Done::Unit);
    }
    let (gone, left): (Vec<&Blob>, Vec<&Blob>) =
        members.iter().partition(|member| removed.contains(member.as_ref()));
    if gone.is_empty() {
        let check = Action::check(&op.key, PLAIN).only_if(UNCHANGED);
        return Step::Nothing(Some(check.value(":old", AttributeValue::Bs(members.to_vec()))));
    }
    let action = match left[..] {
        [] => Action::delete(&op.key, PLAIN),
        _ => Action::update(&op.key, PLAIN, "DELETE v :v")
            .value(":v", AttributeValue::Bs(gone.into_iter().cloned().collect())),
    };
    let old = AttributeValue::Bs(members.to_vec());
    Step::Do(action.only_if(UNCHANGED).value(":old", old), Done::Unit)
}

/// Each field once, with the value that it was given last, by the name of its attribute.
fn last_of_each(fields: &[(Value, Value)]) -> Result<Vec<(String, &Value)>> {
    let mut named: Vec<(&Value, &Value)> =
        fields.iter().map(|(field, value)| (field, value)).collect();
    // Stable, so that the last of equals is the last given.
    named.sort_by_key(|(field, _)| *field);
    named.reverse();
    named.dedup_by_key(|(field, _)| *field);
    check_size(named.iter().map(|(field, value)| field.len() + value.len()))?;
    Ok(named.into_iter().map(|(field, value)| (field_name(field), value)).collect())
}
fn hset(key: &Key, fields: &[(String, &Value)]) -> Action {
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
        action.values.insert(format!(":{}", Placeholder(i)), bytes(value));
    }
    action
}
fn hset_nx(op: &HSetNx) -> Action {
    Action::update(&op.key, PLAIN, "SET #f = :f REMOVE t")
        .only_if("attribute_not_exists(#f) AND attribute_not_exists(v)")
        .name("#f", field_name(&op.field))
        .value(":f", bytes(&op.value))
}
fn hdel(op: &HDel) -> Action {
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
        .value(":t", mark())
        .returning(ReturnValue::AllNew);
    for (i, field) in fields.into_iter().enumerate() {
        action.names.insert(format!("#{}", Placeholder(i)), field_name(field));
    }
    action
}
/// A hash with more fields added or removed than one expression can name: put whole, in the place
/// of the item that was marked before.
fn put_fields(
    key: &Key,
    found: Option<&Item>,
    added: Vec<(String, &Value)>,
    removed: &[Value],
) -> Result<Step> {
    let mark = found.and_then(|item| item.get(MARK));
    let mut whole = found.cloned().unwrap_or_default();
    whole.remove(MARK);
    whole.extend(primary(key, PLAIN));
    whole.extend(added.into_iter().map(|(name, value)| (name, bytes(value))));
    removed.iter().for_each(|field| drop(whole.remove(&field_name(field))));
    let is_empty = !whole.keys().any(|name| name.starts_with('~'));
    let action = if is_empty { Action::delete(key, PLAIN) } else { Action::put(key, whole) };
    Ok(match (found, mark) {
        (None, _) => Step::Do(action.only_if(NOTHING), Done::Unit),
        (Some(_), mark) => replacing(mark, action, Done::Unit),
    })
}

fn zadd(op: &ZAdd) -> Result<Action> {
    check_member(&op.member)?;
    Ok(put_member(&op.key, &op.member, op.value.as_ref().unwrap_or(&op.member), op.score))
}
fn put_member(key: &Key, member: &Value, value: &Value, score: Score) -> Action {
    let attributes = [(V, bytes(value)), (RK2, index_key(score, member))];
    Action::put(key, item(key, member, attributes))
}
fn zincr_by_next(op: &ZIncrBy, found: Holds<'_>) -> Result<Step> {
    let sum = |now: f64| {
        Score::new(now + op.by.get())
            .map_err(|_| Error::new(ErrorKind::Overflow, "the new score is not a number"))
    };
    let new = || put_member(&op.key, &op.member, &op.member, op.by);
    Ok(match found {
        Holds::Nothing => Step::Do(new().only_if(NOTHING), Done::Score(op.by.get())),
        Holds::Leftover(mark) => replacing(mark, new(), Done::Score(op.by.get())),
        Holds::Member(old) => {
            let score = sum(score_of(old)?.get())?;
            // Not put: the value stays as it is.
            let update = Action::update(&op.key, &op.member, "SET rk2 = :new")
                .only_if("rk2 = :old")
                .value(":new", index_key(score, &op.member))
                .value(":old", old.clone());
            Step::Do(update, Done::Score(score.get()))
        }
        _ => return Err(wrong_type()),
    })
}

/// What would be refused, or hang in a queue of megabytes: an item that is too large by itself.
fn check_size(lengths: impl Iterator<Item = usize>) -> Result<()> {
    if lengths.sum::<usize>() > ITEM {
        return Err(Error::new(ErrorKind::TooLarge, "an item of DynamoDB has at most 400 KB"));
    }
    Ok(())
}
/// With lifted limits, too, a member has to fit into a sort key with its score.
fn check_member(member: &[u8]) -> Result<()> {
    if member.len() > MEMBER {
        let message =
            "a member has at most 1,016 bytes: with its score it is a sort key of DynamoDB";
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    if member.is_empty() {
        return Err(Error::invalid("a member is a key of DynamoDB, and cannot be empty"));
    }
    Ok(())
}

/// Short names for what an expression of 4 KB stands for.
struct Placeholder(usize);

impl std::fmt::Display for Placeholder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

/// The answer to a write that was applied.
pub(super) fn reply(done: Done, attributes: Option<&Item>) -> Result<Reply> {
    Ok(match done {
        Done::Unit | Done::Removed => Reply::Done,
        Done::Applied => Reply::Applied(true),
        Done::Integer(n) => Reply::Integer(n),
        Done::Score(score) => Reply::Score(Some(score)),
        Done::Counter => Reply::Integer(sum_of(attributes)?),
    })
}
/// The new value of a counter. Without one, all that is known is that somebody has answered.
fn sum_of(attributes: Option<&Item>) -> Result<i64> {
    let value = attributes.and_then(|attributes| attributes.get(V));
    let Some(AttributeValue::N(sum)) = value else {
        let error = Error::new(ErrorKind::Unavailable, "the answer bears no counter");
        return Err(error.with_unknown_outcome());
    };
    // Others may have added a fraction, which no condition can see.
    sum.parse().map_err(|_| corrupt("the counter is no integer").with_unknown_outcome())
}
