//! What each write reads, and which rows it then changes. Planning changes nothing: whoever planned applies.

use super::cell::Cell;
use super::engine::{Change, EngineLimits, Scan, Span, Transaction, Visit};
use super::read::{mark, sorted};
use super::rows::{Place, Rows};
use crate::op::*;
use crate::op::{Condition, Reply, Score, Write};
use crate::{Error, ErrorKind, Result, Value};

/// A counter this far from overflow may be added to without knowing what others add meanwhile: it would take two billion of
/// them, while a transaction takes seconds.
const FAR: u64 = 1 << 31;

/// What a write would do.
#[derive(Debug)]
pub(super) enum Plan {
    Apply { changes: Vec<Change>, reply: Reply },
    ConditionFailed,
}

/// Whether a write is alone, or with others in an atomic write, where a delete does not see sorted sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    Alone,
    Others,
}

pub(super) async fn plan<T: Transaction>(
    tx: &T,
    op: &Write,
    company: Company,
    limits: &EngineLimits,
) -> Result<Plan> {
    let planner = Planner { tx, rows: Rows::of(op.key()), limits };
    match op {
        Write::Set(op) => planner.set(op).await,
        Write::Delete(op) => planner.delete(op, company).await,
        Write::IncrBy(op) => planner.incr_by(op, company).await,
        Write::SAdd(op) => {
            let put = |member| Change::Put(planner.rows.set_member(member), Vec::new());
            done(op.members.iter().map(put).collect())
        }
        Write::SRem(op) => {
            let delete = |member| Change::Delete(planner.rows.set_member(member));
            done(op.members.iter().map(delete).collect())
        }
        Write::HSet(op) => {
            let mut changes = Vec::with_capacity(op.fields.len());
            op.fields.iter().for_each(|(field, value)| planner.field(field, value, &mut changes));
            done(changes)
        }
        Write::HSetNx(op) => planner.hset_nx(op).await,
        Write::HDel(op) => {
            let mut changes = Vec::with_capacity(op.fields.len());
            for field in &op.fields {
                changes.push(Change::Delete(planner.rows.hash_field(field)));
                planner.clear_long(Place::Field(field), &mut changes);
            }
            done(changes)
        }
        Write::ZAdd(op) => planner.zadd(op).await,
        Write::ZRem(op) => planner.zrem(op).await,
        Write::ZIncrBy(op) => planner.zincr_by(op).await,
    }
}

fn done(changes: Vec<Change>) -> Result<Plan> {
    apply(changes, Reply::Done)
}
fn apply(changes: Vec<Change>, reply: Reply) -> Result<Plan> {
    Ok(Plan::Apply { changes, reply })
}

struct Planner<'a, T> {
    tx: &'a T,
    rows: Rows<'a>,
    limits: &'a EngineLimits,
}

impl<T: Transaction> Planner<'_, T> {
    async fn set(&self, op: &Set) -> Result<Plan> {
        let holds = match &op.condition {
            Condition::Always => true,
            Condition::NotExists => !self.any(self.rows.plain()).await?,
            Condition::Exists => self.any(self.rows.plain()).await?,
            Condition::Equals(old) => {
                match self.tx.get(&self.rows.string(), Cell::read_string).await? {
                    None => false,
                    Some(cell) => {
                        cell.resolve(self.tx, self.rows.long(Place::String), None).await? == *old
                    }
                }
            }
        };
        if !holds {
            return Ok(Plan::ConditionFailed);
        }
        apply(self.string(&op.value), Reply::Applied(true))
    }

    /// A string in place of whatever the key holds, but for sorted sets.
    fn string(&self, value: &Value) -> Vec<Change> {
        let cell = Cell::of_string(value, self.limits);
        let row = Change::Put(self.rows.string(), cell.string_row());
        let mut changes = vec![Change::Clear(self.rows.plain_but_string()), row];
        cell.write_chunks(value, self.rows.long(Place::String), &mut changes);
        changes
    }

    async fn delete(&self, op: &Delete, company: Company) -> Result<Plan> {
        let span = match company {
            Company::Alone => self.rows.all(),
            Company::Others => self.rows.plain(),
        };
        // Blind where nobody asks whether anything was there.
        let found = match company == Company::Alone || op.must_exist {
            true => self.any(span.clone()).await?,
            false => true,
        };
        match (found, company) {
            (true, _) => apply(vec![Change::Clear(span)], Reply::Applied(true)),
            (false, Company::Alone) => apply(Vec::new(), Reply::Applied(false)),
            (false, Company::Others) => Ok(Plan::ConditionFailed),
        }
    }

    async fn incr_by(&self, op: &IncrBy, company: Company) -> Result<Plan> {
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

    async fn hset_nx(&self, op: &HSetNx) -> Result<Plan> {
        if self.tx.get(&self.rows.hash_field(&op.field), |_| Ok(())).await?.is_some() {
            return Ok(Plan::ConditionFailed);
        }
        let mut changes = Vec::new();
        self.field(&op.field, &op.value, &mut changes);
        apply(changes, Reply::Applied(true))
    }

    fn field(&self, field: &Value, value: &Value, changes: &mut Vec<Change>) {
        self.clear_long(Place::Field(field), changes);
        let cell = Cell::of_plain(value, self.limits);
        let mut row = Vec::new();
        cell.write(&mut row);
        changes.push(Change::Put(self.rows.hash_field(field), row));
        cell.write_chunks(value, self.rows.long(Place::Field(field)), changes);
    }

    /// Clears the chunks of an old value without looking whether there are any. An engine that takes
    /// every value in one row never has any.
    fn clear_long(&self, place: Place<'_>, changes: &mut Vec<Change>) {
        if self.limits.value < usize::MAX {
            changes.push(Change::Clear(self.rows.long(place).any()));
        }
    }

    async fn zadd(&self, op: &ZAdd) -> Result<Plan> {
        let old = sorted(self.tx, self.rows, &op.member).await?;
        if op.nx && old.is_some() {
            return Ok(Plan::ConditionFailed);
        }
        let cell = Cell::of_sorted(op.value.as_ref(), self.limits);
        let mut changes = self.place(&op.member, old, op.score, &cell);
        // Also where the rows are the same: of two long values they may be, if somebody has looked for such a pair.
        if let Some(value) = &op.value {
            let long = self.rows.long(Place::Member(&op.member));
            cell.write_chunks(value, long, &mut changes);
        }
        apply(changes, Reply::Applied(true))
    }

    async fn zincr_by(&self, op: &ZIncrBy) -> Result<Plan> {
        let old = sorted(self.tx, self.rows, &op.member).await?;
        let (now, cell) =
            old.as_ref().map_or((0.0, Cell::Itself), |(score, cell)| (score.get(), cell.clone()));
        let score = Score::new(now + op.by.get())
            .map_err(|_| Error::new(ErrorKind::Overflow, "the new score is not a number"))?;
        apply(self.place(&op.member, old, score, &cell), Reply::Score(Some(score.get())))
    }

    async fn zrem(&self, op: &ZRem) -> Result<Plan> {
        let Some((score, cell)) = sorted(self.tx, self.rows, &op.member).await? else {
            return done(Vec::new());
        };
        let mut changes = vec![
            Change::Delete(self.rows.sorted_member(&op.member)),
            Change::Delete(self.rows.sorted_order(score, &op.member)),
        ];
        if cell != Cell::Itself {
            changes.push(Change::Delete(self.rows.sorted_value(score, &op.member)));
        }
        if cell.is_long() {
            changes.push(Change::Clear(self.rows.long(Place::Member(&op.member)).any()));
        }
        done(changes)
    }

    /// Brings the rows of a sorted member from `old` to `score` and `cell`; nothing if they are there.
    fn place(
        &self,
        member: &Value,
        old: Option<(Score, Cell)>,
        score: Score,
        cell: &Cell,
    ) -> Vec<Change> {
        let (rows, mut changes) = (self.rows, Vec::with_capacity(6));
        match old {
            Some((old, same)) if old == score && same == *cell => return changes,
            Some((old, before)) => {
                if old != score {
                    changes.push(Change::Delete(rows.sorted_order(old, member)));
                }
                if before != Cell::Itself && (old != score || *cell == Cell::Itself) {
                    changes.push(Change::Delete(rows.sorted_value(old, member)));
                }
                if before.is_long() && before != *cell {
                    changes.push(Change::Clear(rows.long(Place::Member(member)).any()));
                }
            }
            None => {}
        }
        let mut row = score.get().to_be_bytes().to_vec();
        cell.write(&mut row);
        if *cell != Cell::Itself {
            changes.push(Change::Put(rows.sorted_value(score, member), row[8..].into()));
        }
        changes.push(Change::Put(rows.sorted_order(score, member), mark(*cell != Cell::Itself)));
        changes.push(Change::Put(rows.sorted_member(member), row));
        changes
    }

    /// Whether there is any row in `span`.
    async fn any(&self, span: Span) -> Result<bool> {
        let mut any = false;
        self.first(span, false, &mut |_, _| {
            any = true;
            Ok(())
        })
        .await?;
        Ok(any)
    }

    /// Visits the first row of `span`, if there is one.
    async fn first(&self, span: Span, peek: bool, visit: &mut Visit<'_>) -> Result<()> {
        let scan = Scan { span, reverse: false, limit: 1, peek };
        self.tx.range(&scan, visit).await.map(drop)
    }
}

/// Refuses names that no row of this engine can have.
pub(super) fn check_names(key: &[u8], longest: usize, limits: &EngineLimits) -> Result<()> {
    // Every byte may need an escape; the rest is kinds, scores and stamps.
    let most = key.len().saturating_add(longest).saturating_mul(2).saturating_add(64);
    if most > limits.row {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "key and member may need {most} bytes, and a row of this backend takes {}",
                limits.row
            ),
        ));
    }
    Ok(())
}
