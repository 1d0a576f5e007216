//! One key, one type: what a key holds, by the first of its rows.
//!
//! Looking costs a read, so an engine says whether it is done ([`EngineLimits::checks_types`]). A row that
//! an operation has found tells the type already; only where it has found nothing is the key looked
//! at.

use super::engine::{EngineLimits, Scan, Transaction};
use super::rows::{Kind, Rows};
use crate::{Error, Result};

/// What the key holds; `None` if it holds nothing.
pub(super) async fn kind<T: Transaction>(tx: &T, rows: Rows<'_>) -> Result<Option<Kind>> {
    let mut kind = None;
    let scan = Scan { span: rows.all(), reverse: false, limit: 1, snapshot: false };
    tx.range(&scan, &mut |row, _| {
        kind = Some(rows.kind_of(row)?);
        Ok(())
    })
    .await?;
    Ok(kind)
}

/// Refuses a key that holds another type, where the engine looks for that.
pub(super) async fn expect_type<T: Transaction>(
    tx: &T,
    rows: Rows<'_>,
    expected: Kind,
    limits: &EngineLimits,
) -> Result<()> {
    match limits.checks_types {
        true if kind(tx, rows).await?.is_some_and(|kind| kind != expected) => Err(wrong_type()),
        _ => Ok(()),
    }
}

pub(super) fn wrong_type() -> Error {
    Error::wrong_type("the key holds another type")
}
