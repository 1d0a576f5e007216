//! What `set*`, `delete` and `incr_by` read, and which rows they then change.

use super::cell::Cell;
use super::engine::{Change, Transaction, Visit};
use super::rows::{Kind, Place};
use super::types;
use super::write::{Company, Plan, Planner, apply, done};
use crate::op::*;
use crate::{Error, ErrorKind, Result, Value};
use futures_util::future::try_join;

/// A counter this far from overflow may be added to without knowing what others add meanwhile: it
/// would take two billion of them, while a transaction takes seconds.
const FAR: u64 = 1 << 31;

impl<T: Transaction> Planner<'_, T> {
    pub(super) async fn set(&self, op: &Set, company: Company) -> Result<Plan> {
        let (holds, over) = match self.limits.typed {
            true => self.judge_typed(&op.condition, company).await?,
            false => (self.judge_blind(&op.condition).await?, Over::Anything),
        };
        if !holds {
            return Ok(Plan::ConditionFailed);
        }
        apply(self.string(&op.value, over), Reply::Applied(true))
    }

    /// Whether a condition holds, where nobody looks what else the key may hold.
    async fn judge_blind(&self, condition: &Condition) -> Result<bool> {
        Ok(match condition {
            Condition::Always => true,
            Condition::NotExists => !self.any(self.rows.plain()).await?,
            Condition::Exists => self.any(self.rows.plain()).await?,
            Condition::Equals(old) => self.equals(old).await?.unwrap_or(false),
        })
    }

    /// Whether a condition holds, and what the key holds. A string never goes over a sorted set.
    async fn judge_typed(&self, condition: &Condition, company: Company) -> Result<(bool, Over)> {
        if let Condition::Equals(old) = condition
            && let Some(equal) = self.equals(old).await?
        {
            return Ok((equal, Over::String));
        }
        let kind = types::kind(self.tx, self.rows).await?;
        let holds = match (condition, kind) {
            (Condition::Always, _) => true,
            (Condition::NotExists, Some(Kind::Sorted)) => true,
            (Condition::NotExists, kind) => kind.is_none(),
            (Condition::Exists | Condition::Equals(_), None) => false,
            // In an atomic write the conditions do not see sorted sets.
            (_, Some(Kind::Sorted)) if company == Company::Others => false,
            (Condition::Exists, Some(_)) => true,
            (Condition::Equals(_), Some(_)) => return Err(types::wrong()),
        };
        match kind {
            Some(Kind::Sorted) if holds => Err(types::wrong()),
            Some(Kind::String) => Ok((holds, Over::String)),
            Some(_) => Ok((holds, Over::Anything)),
            None => Ok((holds, Over::Nothing)),
        }
    }

    /// Whether the string is this one; `None` if there is no string.
    async fn equals(&self, old: &Value) -> Result<Option<bool>> {
        match self.tx.get(&self.rows.string(), Cell::read_string).await? {
            None => Ok(None),
            Some(cell) => {
                let now = cell.resolve(self.tx, self.rows.long(Place::String), None).await?;
                Ok(Some(now == *old))
            }
        }
    }

    /// A string in place of whatever the key holds, except a sorted set.
    fn string(&self, value: &Value, over: Over) -> Vec<Change> {
        let cell = Cell::of_string(value, self.limits);
        let row = Change::Put(self.rows.string(), cell.string_row());
        // A string has other rows only where it may be in chunks.
        let clear = match over {
            Over::Nothing => false,
            Over::String => self.limits.value < usize::MAX,
            Over::Anything => true,
        };
        let mut changes = match clear {
            true => vec![Change::Clear(self.rows.plain_but_string()), row],
            false => vec![row],
        };
        cell.write_chunks(value, self.rows.long(Place::String), &mut changes);
        changes
    }

    pub(super) async fn delete(&self, op: &Delete, company: Company) -> Result<Plan> {
        if company == Company::Others {
            return self.delete_among_others(op).await;
        }
        match self.any(self.rows.all()).await? {
            true => apply(vec![Change::Clear(self.rows.all())], Reply::Applied(true)),
            false => apply(Vec::new(), Reply::Applied(false)),
        }
    }

    /// There it removes no sorted set, and says so.
    async fn delete_among_others(&self, op: &Delete) -> Result<Plan> {
        let plain = async {
            // Blind where nobody asks whether anything was there.
            let asked = op.must_exist || self.limits.typed;
            if asked { self.any(self.rows.plain()).await } else { Ok(true) }
        };
        let (plain, sorted) = try_join(plain, self.any(self.rows.sorted())).await?;
        if sorted {
            return Err(Error::wrong_type("an atomic write removes no sorted set"));
        }
        match plain {
            true => apply(vec![Change::Clear(self.rows.plain())], Reply::Applied(true)),
            false if op.must_exist => Ok(Plan::ConditionFailed),
            false => apply(Vec::new(), Reply::Applied(false)),
        }
    }

    pub(super) async fn incr_by(&self, op: &IncrBy, company: Company) -> Result<Plan> {
        // Among others nobody asks for the sum.
        if company == Company::Others
            && op.by.unsigned_abs() <= FAR
            && self.counter(true).await?.unsigned_abs() <= i64::MAX as u64 / 2
        {
            self.tx.guard(&self.rows.string_guard())?;
            return done(vec![Change::Add(self.rows.string(), op.by)]);
        }
        let sum =
            self.counter(false).await?.checked_add(op.by).ok_or_else(|| {
                Error::new(ErrorKind::Overflow, "the sum does not fit into 64 bits")
            })?;
        let mut changes = vec![Change::Put(self.rows.string(), Cell::Counter(sum).string_row())];
        if op.by.unsigned_abs() > FAR {
            // Whoever adds without knowing the sum takes it that nobody adds as much meanwhile.
            changes.push(Change::Delete(self.rows.string_guard()));
        }
        apply(changes, Reply::Integer(sum))
    }

    /// The counter that the key holds; 0 if it holds nothing.
    async fn counter(&self, peek: bool) -> Result<i64> {
        // One row tells whether there is a string, something else, or nothing.
        let string = self.rows.string();
        let mut now = 0;
        let visit: &mut Visit<'_> = &mut |row, value| {
            now = match Cell::read_string(value) {
                Ok(Cell::Counter(n)) if row == string => n,
                _ => return Err(Error::wrong_type("the key holds no counter")),
            };
            Ok(())
        };
        self.first(self.rows.all(), peek, visit).await?;
        Ok(now)
    }
}

/// What a string is written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Nothing,
    String,
    Anything,
}
