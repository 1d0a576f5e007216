//! Each operation as one command.
//!
//! An operation is its Redis command, or, if there is none, a call of a [script](super::scripts).
//! A new operation is an arm in `encode_read` or `encode_write` here, and one in
//! [`replies`](super::replies); a new write also needs one in [`atomic`](super::atomic).

use super::keys::KeyScheme;
use super::pipeline_size::PIPELINE_BYTES;
use super::scripts::{self, Script, ScriptRef};
use crate::Value;
use crate::op::*;
use crate::op::{Condition, Range, Read, Score, Write};
use ::redis::Cmd;
use std::ops::Bound;

/// The most entries that a script returns, and the most reads that are combined into one command.
/// Redis runs one command at a time: longer ones would delay other clients.
pub(super) const PAGE: usize = 1_000;

/// Starts a command, with capacity for `args` more arguments of `bytes` together.
pub(super) fn start_command(name: &str, args: usize, bytes: usize) -> Cmd {
    let mut cmd = Cmd::with_capacity(1 + args, name.len() + bytes);
    cmd.arg(name);
    cmd
}

/// A command with a key and some arguments.
fn plain(name: &str, key: &[u8], args: &[&[u8]]) -> Cmd {
    let bytes = args.iter().map(|arg| arg.len()).sum::<usize>();
    let mut cmd = start_command(name, 1 + args.len(), key.len() + bytes);
    cmd.arg(key);
    for arg in args {
        cmd.arg(*arg);
    }
    cmd
}

/// A command with a key and a list; `None` if the list is empty.
fn list(name: &str, key: &[u8], members: &[Value]) -> Option<Cmd> {
    if members.is_empty() {
        return None;
    }
    let bytes = members.iter().map(|member| member.len()).sum::<usize>();
    let mut cmd = start_command(name, 1 + members.len(), key.len() + bytes);
    cmd.arg(key);
    for member in members {
        cmd.arg(&member[..]);
    }
    Some(cmd)
}

fn hset(key: &[u8], fields: &[(Value, Value)]) -> Option<Cmd> {
    if fields.is_empty() {
        return None;
    }
    let bytes = fields.iter().map(|(field, value)| field.len() + value.len()).sum::<usize>();
    let mut cmd = start_command("HSET", 1 + 2 * fields.len(), key.len() + bytes);
    cmd.arg(key);
    for (field, value) in fields {
        cmd.arg(&field[..]).arg(&value[..]);
    }
    Some(cmd)
}

/// A call of a script with one key.
fn call_script(script: &Script, by: ScriptRef, key: &[u8], args: &[&[u8]]) -> Cmd {
    let bytes = args.iter().map(|arg| arg.len()).sum::<usize>();
    let mut cmd = script.call(by, 1, args.len(), key.len() + bytes);
    cmd.arg(key);
    for arg in args {
        cmd.arg(*arg);
    }
    cmd
}

fn flag(flag: bool) -> &'static str {
    if flag { "1" } else { "0" }
}

fn score_bound(cmd: &mut Cmd, bound: &Bound<Score>, unbounded: &str) {
    match bound {
        Bound::Unbounded => cmd.arg(unbounded),
        Bound::Included(score) => cmd.arg(score.get()),
        Bound::Excluded(score) => cmd.arg(format!("({:e}", score.get())),
    };
}

fn lex_bound(cmd: &mut Cmd, bound: &Bound<Value>, unbounded: &str) {
    match bound {
        Bound::Unbounded => cmd.arg(unbounded),
        Bound::Included(member) => cmd.arg([b"[", &member[..]].concat()),
        Bound::Excluded(member) => cmd.arg([b"(", &member[..]].concat()),
    };
}

/// Adds both ends of a range, in the order that `ZRANGE` takes them.
fn bounds(cmd: &mut Cmd, range: &Range, rev: bool) {
    let both = [0, 1];
    for end in if rev { [both[1], both[0]] } else { both } {
        match (range, end) {
            (Range::Score(range), 0) => score_bound(cmd, &range.min, "-inf"),
            (Range::Score(range), _) => score_bound(cmd, &range.max, "+inf"),
            (Range::Lex(range), 0) => lex_bound(cmd, &range.min, "-"),
            (Range::Lex(range), _) => lex_bound(cmd, &range.max, "+"),
        }
    }
}

/// Adds the arguments of `ZRANGE` after the key. `WITHSCORES` is used only by score: by member
/// (`BYLEX`), Redis does not allow it.
fn zrange_args(cmd: &mut Cmd, op: &ZRange, limit: Option<usize>) {
    bounds(cmd, &op.range, op.rev);
    let by_score = matches!(op.range, Range::Score(_));
    cmd.arg(if by_score { "BYSCORE" } else { "BYLEX" });
    if op.rev {
        cmd.arg("REV");
    }
    if let Some(limit) = limit {
        cmd.arg("LIMIT").arg(0).arg(i64::try_from(limit).unwrap_or(i64::MAX));
    }
    if op.scores && by_score {
        cmd.arg("WITHSCORES");
    }
}

/// Whether the command `ZRANGE` is enough, without a script.
fn is_plain(op: &ZRange) -> bool {
    !op.values && (!op.scores || matches!(op.range, Range::Score(_)))
}

/// Whether the range may be longer than a script returns at once. `max_bytes` is that of
/// [`KeyScheme::encode_read`].
pub(super) fn may_be_too_long(op: &ZRange, max_bytes: usize) -> bool {
    let many = op.limit.is_none_or(|limit| limit > PAGE);
    !is_plain(op) && (many || (op.values && max_bytes < usize::MAX))
}

/// The `max_bytes` of a read in a batch. A range of at most [`PAGE`] entries is never split there,
/// so that a write to the same key can be in the same pipeline.
pub(super) fn max_bytes_in_batch(op: &Read) -> usize {
    match op {
        Read::ZRange(op) if op.limit.is_some_and(|limit| limit <= PAGE) => usize::MAX,
        _ => PIPELINE_BYTES,
    }
}

impl KeyScheme {
    /// A call of a script with a sorted set and its value hash as keys.
    fn sorted(self, script: &Script, by: ScriptRef, key: &[u8], args: usize, bytes: usize) -> Cmd {
        let value_hash = self.value_hash_key(key);
        let mut cmd = script.call(by, 2, args, key.len() + value_hash.len() + bytes);
        cmd.arg(key).arg(value_hash);
        cmd
    }

    /// The command of a read. If a range has more than `max_bytes` of values, its script does not
    /// return them; see [`read`](super::read).
    pub(super) fn encode_read(self, op: &Read, by: ScriptRef, max_bytes: usize) -> Cmd {
        match op {
            Read::Get(Get { key, .. }) => plain("GET", key, &[]),
            Read::Exists(Exists { key, .. }) => plain("EXISTS", key, &[]),
            Read::SMembers(SMembers { key, .. }) => plain("SMEMBERS", key, &[]),
            Read::HGet(HGet { key, field, .. }) => plain("HGET", key, &[field]),
            Read::HGetAll(HGetAll { key, .. }) => plain("HGETALL", key, &[]),
            Read::ZScore(ZScore { key, member, .. }) => plain("ZSCORE", key, &[member]),
            Read::ZHGet(ZHGet { key, field, .. }) => {
                let mut cmd = self.sorted(&scripts::ZHGET, by, key, 2, field.len() + 4);
                cmd.arg(&field[..]).arg(self.default_mark.as_str());
                cmd
            }
            Read::ZCount(ZCount { key, range, .. }) => {
                let by_score = matches!(range, Range::Score(_));
                let mut cmd =
                    start_command(if by_score { "ZCOUNT" } else { "ZLEXCOUNT" }, 3, key.len() + 64);
                cmd.arg(&key[..]);
                bounds(&mut cmd, range, false);
                cmd
            }
            Read::ZRange(op) if is_plain(op) => self.encode_members(op),
            Read::ZRange(op) => self.encode_range(op, by, max_bytes),
        }
    }

    /// A range with values, or by member with scores.
    fn encode_range(self, op: &ZRange, by: ScriptRef, max_bytes: usize) -> Cmd {
        // One entry more than allowed shows that the range is longer.
        let (max_entries, limit) = match op.limit {
            Some(limit) if limit <= PAGE => (limit, limit),
            _ => (PAGE, PAGE + 1),
        };
        let mut cmd = self.sorted(&scripts::ZRANGE, by, &op.key, 13, 112);
        cmd.arg(max_entries).arg(max_bytes).arg(flag(op.values)).arg(flag(op.scores));
        cmd.arg(self.default_mark.as_str());
        zrange_args(&mut cmd, op, Some(limit));
        cmd
    }

    /// Only the members of a range; if it is by score, their scores as well.
    pub(super) fn encode_members(self, op: &ZRange) -> Cmd {
        let mut cmd = start_command("ZRANGE", 8, op.key.len() + 96);
        cmd.arg(&op.key[..]);
        zrange_args(&mut cmd, op, op.limit);
        cmd
    }

    /// The scores of some members, and the values if the range has values, of one moment.
    pub(super) fn encode_page(self, op: &ZRange, members: &[Value]) -> Cmd {
        let bytes = members.iter().map(|member| member.len()).sum::<usize>();
        let mut cmd =
            self.sorted(&scripts::PAGE, ScriptRef::Source, &op.key, 3 + members.len(), bytes + 16);
        cmd.arg(PIPELINE_BYTES).arg(flag(op.values)).arg(self.default_mark.as_str());
        for member in members {
            cmd.arg(&member[..]);
        }
        cmd
    }

    /// The command of a write; `None` if there is nothing to do.
    pub(super) fn encode_write(self, op: &Write, by: ScriptRef) -> Option<Cmd> {
        Some(match op {
            Write::Set(Set { key, value, condition, .. }) => match condition {
                Condition::Always => plain("SET", key, &[value]),
                Condition::NotExists => call_script(&scripts::SET_NX, by, key, &[value]),
                Condition::Exists => call_script(&scripts::SET_XX, by, key, &[value]),
                Condition::Equals(old) => call_script(&scripts::SET_EQ, by, key, &[value, old]),
            },
            Write::Delete(Delete { key, .. }) => self.sorted(&scripts::DELETE, by, key, 0, 0),
            Write::IncrBy(IncrBy { key, by, .. }) => {
                let mut cmd = start_command("INCRBY", 2, key.len() + 20);
                cmd.arg(&key[..]).arg(*by);
                cmd
            }
            Write::SAdd(SAdd { key, members, .. }) => list("SADD", key, members)?,
            Write::SRem(SRem { key, members, .. }) => list("SREM", key, members)?,
            Write::HDel(HDel { key, fields, .. }) => list("HDEL", key, fields)?,
            Write::HSet(HSet { key, fields, .. }) => hset(key, fields)?,
            Write::HSetNx(HSetNx { key, field, value, .. }) => {
                plain("HSETNX", key, &[field, value])
            }
            Write::ZAdd(ZAdd { key, member, value, score, nx, .. }) => {
                let bytes = member.len() + value.as_ref().map_or(0, |value| value.len()) + 29;
                let mut cmd = self.sorted(&scripts::ZADD, by, key, 5, bytes);
                cmd.arg(score.get())
                    .arg(&member[..])
                    .arg(flag(*nx))
                    .arg(self.default_mark.as_str());
                if let Some(value) = value {
                    cmd.arg(&value[..]);
                }
                cmd
            }
            Write::ZRem(ZRem { key, member, .. }) => {
                let mut cmd = self.sorted(&scripts::ZREM, by, key, 1, member.len());
                cmd.arg(&member[..]);
                cmd
            }
            Write::ZIncrBy(ZIncrBy { key, member, by: n, .. }) => {
                let mut cmd = self.sorted(&scripts::ZINCR_BY, by, key, 2, member.len() + 24);
                cmd.arg(n.get()).arg(&member[..]);
                cmd
            }
        })
    }
}
