//! One key, one type. The first row of a key determines its type.
//!
//! Checking the type costs a read, so each engine decides whether to check
//! ([`EngineLimits::checks_types`]). A row that an operation finds proves the type. Only if it
//! finds none is the type read.

use super::engine::{EngineLimits, Scan, Transaction};
use super::rows::{Kind, Rows};
use crate::{Error, Result};

/// The type of the key; `None` if the key does not exist.
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

/// Returns `WrongType` if the key has another type and the engine checks types.
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
