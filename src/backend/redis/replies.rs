//! Decodes RESP2 and RESP3 values into replies.

use super::errors::{refused, unexpected};
use crate::op::{Read, Reply, Write};
use crate::{Error, ErrorKind, Outcome, Result, Value};
use ::redis::Value as RespValue;

pub(super) fn read(op: &Read, answer: RespValue) -> Result<Reply> {
    if let RespValue::ServerError(e) = &answer {
        return Err(refused(e));
    }
    Ok(match op {
        Read::Get(_) | Read::HGet(_) | Read::ZHGet(_) => Reply::Value(optional(answer)?),
        Read::Exists(_) => match answer {
            RespValue::Int(n) => Reply::Exists(n != 0),
            _ => return Err(unexpected()),
        },
        Read::SMembers(_) => Reply::Values(values(answer)?),
        Read::HGetAll(_) => Reply::Fields(pairs(answer, value)?),
        Read::ZScore(_) => Reply::Score(score(answer)?),
        Read::ZCount(_) => match answer {
            RespValue::Int(n) => Reply::Count(n.unsigned_abs()),
            _ => return Err(unexpected()),
        },
        Read::ZRange(op) if op.scores => Reply::Scored(scored(answer)?),
        Read::ZRange(_) => Reply::Values(values(answer)?),
    })
}

pub(super) fn write(op: &Write, answer: RespValue) -> Result<Reply> {
    if let RespValue::ServerError(e) = &answer {
        return Err(refused(e));
    }
    Ok(match op {
        // `SET` returns OK, or nil if its condition does not hold; the others return a number.
        Write::Set(_) | Write::Delete(_) | Write::HSetNx(_) | Write::ZAdd(_) => match answer {
            RespValue::Okay => Reply::Applied(true),
            RespValue::Nil => Reply::Applied(false),
            RespValue::Int(n) => Reply::Applied(n != 0),
            _ => return Err(unexpected()),
        },
        Write::IncrBy(_) => match answer {
            RespValue::Int(n) => Reply::Integer(n),
            _ => return Err(unexpected()),
        },
        Write::ZIncrBy(_) => match score(answer)? {
            Some(score) => Reply::Score(Some(score)),
            None => return Err(unexpected()),
        },
        Write::SAdd(_) | Write::SRem(_) | Write::HSet(_) | Write::HDel(_) | Write::ZRem(_) => {
            Reply::Done
        }
    })
}

fn value(answer: RespValue) -> Result<Value> {
    match answer {
        RespValue::BulkString(bytes) => Ok(Value::from_answer(bytes)),
        RespValue::SimpleString(text) => Ok(Value::from_answer(text.into_bytes())),
        RespValue::Okay => Ok(Value::from_static(b"OK")),
        RespValue::ServerError(e) => Err(refused(&e)),
        _ => Err(unexpected()),
    }
}

pub(super) fn optional(answer: RespValue) -> Result<Option<Value>> {
    match answer {
        RespValue::Nil => Ok(None),
        answer => value(answer).map(Some),
    }
}

/// The entries of an array or set.
pub(super) fn entries(answer: RespValue) -> Result<Vec<RespValue>> {
    match answer {
        RespValue::Array(entries) | RespValue::Set(entries) => Ok(entries),
        RespValue::ServerError(e) => Err(refused(&e)),
        _ => Err(unexpected()),
    }
}

pub(super) fn values(answer: RespValue) -> Result<Vec<Value>> {
    entries(answer)?.into_iter().map(value).collect()
}

pub(super) fn score(answer: RespValue) -> Result<Option<f64>> {
    let text = match answer {
        RespValue::Nil => return Ok(None),
        // Another program may have written `-0.0`.
        RespValue::Double(score) => return Ok(Some(score + 0.0)),
        RespValue::BulkString(text) => text,
        RespValue::ServerError(e) => return Err(refused(&e)),
        _ => return Err(unexpected()),
    };
    let text = std::str::from_utf8(&text).map_err(|_| unexpected())?;
    let score: f64 = text.parse().map_err(|_| unexpected())?;
    Ok(Some(score + 0.0))
}

/// Pairs: a map, an array of arrays, or a flat array.
fn pairs<T>(answer: RespValue, second: impl Fn(RespValue) -> Result<T>) -> Result<Vec<(Value, T)>> {
    let flat = match answer {
        RespValue::Map(pairs) => {
            return pairs.into_iter().map(|(a, b)| Ok((value(a)?, second(b)?))).collect();
        }
        answer => entries(answer)?,
    };
    let mut pairs = Vec::with_capacity(flat.len());
    let mut flat = flat.into_iter();
    while let Some(first) = flat.next() {
        let (a, b) = match first {
            RespValue::Array(pair) => {
                let mut pair = pair.into_iter();
                (pair.next(), pair.next())
            }
            first => (Some(first), flat.next()),
        };
        let (Some(a), Some(b)) = (a, b) else { return Err(unexpected()) };
        pairs.push((value(a)?, second(b)?));
    }
    Ok(pairs)
}

pub(super) fn scored(answer: RespValue) -> Result<Vec<(Value, f64)>> {
    pairs(answer, |answer| score(answer)?.ok_or_else(unexpected))
}

/// Decodes what `transact.lua` returns.
pub(super) fn outcome(answer: RespValue) -> Result<Outcome> {
    let entries = match answer {
        RespValue::Okay => return Ok(Outcome::Committed),
        answer => entries(answer)?,
    };
    if let [RespValue::BulkString(error), RespValue::Int(position)] = &entries[..] {
        let error = match &error[..] {
            b"OVERFLOW" => Error::new(ErrorKind::Overflow, "the sum cannot be represented"),
            b"NOPERM" => Error::new(ErrorKind::AccessDenied, "the server denies access"),
            _ => Error::wrong_type("the key holds another type, or no integer"),
        };
        return Err(error.of_write(usize::try_from(*position).unwrap_or_default()));
    }
    let positions = entries.into_iter().map(|entry| match entry {
        RespValue::Int(position) => usize::try_from(position).map_err(|_| unexpected()),
        _ => Err(unexpected()),
    });
    Ok(Outcome::from_failed_conditions(positions.collect::<Result<Vec<_>>>()?))
}
