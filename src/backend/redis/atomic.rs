//! Atomic writes: the arguments of `scripts/transact.lua`, which checks and applies all writes.
//!
//! The script has a table of the names and arguments that [`encode_write`] sends, and refuses other
//! names. A test below compares both.

use super::keys::KeyScheme;
use super::scripts::{self, ScriptRef};
use crate::Value;
use crate::op::{
    Condition, Delete, HDel, HSet, HSetNx, IncrBy, Kind, SAdd, SRem, Set, Write, ZAdd, ZIncrBy,
    ZRem,
};
use ::redis::Cmd;

impl KeyScheme {
    /// All writes as one call of the script.
    pub(super) fn encode_atomic(self, writes: &[Write], by: ScriptRef) -> Cmd {
        let is_sorted = |write: &Write| write.kind() == Kind::Sorted;
        let keys = writes.iter().map(|write| 1 + usize::from(is_sorted(write))).sum();
        let mut cmd = scripts::TRANSACT.call(by, keys, 1 + 4 * writes.len(), 160 * writes.len());
        for write in writes {
            cmd.arg(&write.key()[..]);
            if is_sorted(write) {
                cmd.arg(self.value_hash_key(write.key()));
            }
        }
        cmd.arg(self.default_mark.as_str());
        for write in writes {
            encode_write(&mut cmd, write);
        }
        cmd
    }
}

/// Adds one write to the arguments of the script: its name, then its arguments. A list starts with
/// its length.
fn encode_write(cmd: &mut Cmd, write: &Write) {
    match write {
        Write::Set(Set { value, condition, .. }) => encode_set(cmd, value, condition),
        Write::Delete(Delete { must_exist, .. }) => {
            cmd.arg(if *must_exist { "delete_xx" } else { "delete" });
        }
        Write::IncrBy(IncrBy { by, .. }) => {
            // The range in which the counter must be for the sum to fit.
            let (min, max) = (i64::MIN - by.min(&0), i64::MAX - by.max(&0));
            cmd.arg("incr_by").arg(*by).arg(min).arg(max);
        }
        Write::SAdd(SAdd { members, .. }) => encode_list(cmd, "sadd", members),
        Write::SRem(SRem { members, .. }) => encode_list(cmd, "srem", members),
        Write::HDel(HDel { fields, .. }) => encode_list(cmd, "hdel", fields),
        Write::HSet(HSet { fields, .. }) => {
            cmd.arg("hset").arg(2 * fields.len());
            for (field, value) in fields {
                cmd.arg(&field[..]).arg(&value[..]);
            }
        }
        Write::HSetNx(HSetNx { field, value, .. }) => {
            cmd.arg("hset_nx").arg(&field[..]).arg(&value[..]);
        }
        Write::ZAdd(op) => encode_zadd(cmd, op),
        Write::ZRem(ZRem { member, .. }) => {
            cmd.arg("zrem").arg(&member[..]);
        }
        Write::ZIncrBy(ZIncrBy { member, by, .. }) => {
            cmd.arg("zincr_by").arg(by.get()).arg(&member[..]);
        }
    }
}

fn encode_set(cmd: &mut Cmd, value: &Value, condition: &Condition) {
    let name = match condition {
        Condition::Always => "set",
        Condition::NotExists => "set_nx",
        Condition::Exists => "set_xx",
        Condition::Equals(_) => "set_eq",
    };
    cmd.arg(name).arg(&value[..]);
    if let Condition::Equals(old) = condition {
        cmd.arg(&old[..]);
    }
}

fn encode_list(cmd: &mut Cmd, name: &str, members: &[Value]) {
    cmd.arg(name).arg(members.len());
    for member in members {
        cmd.arg(&member[..]);
    }
}

fn encode_zadd(cmd: &mut Cmd, ZAdd { member, value, score, nx, .. }: &ZAdd) {
    cmd.arg(match (value, nx) {
        (None, false) => "zadd",
        (None, true) => "zadd_nx",
        (Some(_), false) => "zhadd",
        (Some(_), true) => "zhadd_nx",
    });
    cmd.arg(score.get()).arg(&member[..]);
    if let Some(value) = value {
        cmd.arg(&value[..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{WRITE_NAMES, examples};
    use ::redis::Arg;
    use std::collections::{BTreeMap, BTreeSet};

    fn encoded(write: &Write) -> Vec<String> {
        let mut cmd = Cmd::new();
        encode_write(&mut cmd, write);
        let text = |arg| match arg {
            Arg::Simple(bytes) => String::from_utf8(Vec::from(bytes)).unwrap(),
            _ => unreachable!("no cursor"),
        };
        cmd.args_iter().map(text).collect()
    }

    /// The lines of `describe` in the script, by name: what it returns.
    fn table() -> BTreeMap<&'static str, &'static str> {
        let script = include_str!("scripts/transact.lua");
        let (_, rest) = script.split_once("local function describe(name)\n").unwrap();
        let (table, _) = rest.split_once("\nend").unwrap();
        let line = |line: &'static str| {
            let line = line.strip_prefix("  if name == '").unwrap().strip_suffix(" end").unwrap();
            line.split_once("' then return ").unwrap()
        };
        table.lines().map(line).collect()
    }

    #[test]
    fn every_write_is_in_the_table_of_the_script() {
        let table = table();
        let mut sent = BTreeSet::new();
        for write in examples::writes() {
            let args = encoded(&write);
            let (name, args) = args.split_first().unwrap();
            let line = table.get(&name[..]).unwrap_or_else(|| panic!("{name} is not in the table"));
            let mut line = line.split(", ");
            match line.next().unwrap() {
                "nil" => assert_eq!(args[0], (args.len() - 1).to_string(), "{name}: its length"),
                count => assert_eq!(count, args.len().to_string(), "{name}"),
            }
            let kind = match write.kind() {
                Kind::String => "string",
                Kind::Set => "set",
                Kind::Hash => "hash",
                Kind::Sorted => "zset",
                Kind::Any => "any",
            };
            assert_eq!(line.next(), Some(&format!("'{kind}'")[..]), "{name}");
            assert!(line.next().is_some(), "{name}: the command");
            assert_eq!(line.next().is_some(), write.has_condition(), "{name}");
            sent.insert(name.clone());
        }
        assert!(table.keys().copied().eq(&sent), "a name that is never sent: {table:?}");
        assert!(
            sent.iter().map(String::as_str).eq(BTreeSet::from_iter(WRITE_NAMES.iter().copied()))
        );
    }
}
