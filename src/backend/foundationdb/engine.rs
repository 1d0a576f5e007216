//! The cluster as an engine of the ordered layer: how a transaction begins, commits, and is tried
//! again.

use super::NAME;
use super::database::{Fdb, MAX_KEY_LEN};
use super::errors::{self, INVALID_OPTION, TRANSACTION_TOO_OLD, translate};
use super::tx::{FinishedTx, Tx};
use crate::backend::Context;
use crate::backend::ordered::{Access, AttemptError, Engine, EngineLimits, Program};
use crate::observe::RoundTripGuard;
use crate::{Error, ErrorKind, Result};
use foundationdb::Transaction;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The transaction of the attempt before, which knows how long it has taken already, and how long
/// to wait next time.
#[derive(Default)]
pub(super) struct Session {
    transaction: Option<Transaction>,
    /// It has been tried again without an option that the client has refused.
    plain: bool,
}

impl Engine for Fdb {
    const NAME: &'static str = NAME;
    type Session = Session;

    fn limits(&self) -> EngineLimits {
        EngineLimits {
            max_name: MAX_KEY_LEN - self.prefix.len(),
            max_value: 100_000,
            // Of 10,000,000, which conflict ranges count towards, too.
            max_transaction: 8_000_000,
            max_part_rows: usize::MAX,
            max_attempts: self.options.max_attempts,
            // To look would cost every blind write a read.
            checks_types: false,
        }
    }

    async fn attempt<P: Program>(
        &self,
        cx: &Context,
        access: Access,
        program: &Arc<P>,
        session: &mut Session,
    ) -> Result<P::Output, AttemptError> {
        let transaction = match session.transaction.take() {
            Some(transaction) => transaction,
            None => self.begin(access, program.max_rows())?,
        };
        let tx = Tx::new(self, cx, access, transaction);
        let result = program.run(&tx).await;
        let FinishedTx { transaction, changed, failed } = tx.finish();
        let output = match (result, failed, transaction) {
            (_, Some(failed), _) if failed.code() == INVALID_OPTION => {
                self.caches_read_versions.store(false, Relaxed);
                let retryable = !std::mem::replace(&mut session.plain, true);
                return Err(AttemptError { error: translate(failed), retryable, too_old: false });
            }
            (Ok(output), ..) if !changed => return Ok(output),
            (Ok(output), _, Some(transaction)) => {
                commit(cx, transaction, session).await?;
                output
            }
            (Err(error), Some(failed), Some(transaction)) => {
                session.transaction = transaction.on_error(failed).await.ok();
                let too_old = failed.code() == TRANSACTION_TOO_OLD;
                return Err(AttemptError {
                    error,
                    retryable: session.transaction.is_some(),
                    too_old,
                });
            }
            (Err(error), ..) => return Err(error.into()),
            (Ok(_), _, None) => {
                let held = "a transaction was held beyond its program";
                return Err(Error::new(ErrorKind::Other, held).into());
            }
        };
        Ok(output)
    }
}

/// Commits. If that fails without any doubt, waits as long as the client thinks right, and leaves
/// the transaction to the next attempt.
async fn commit(
    cx: &Context,
    transaction: Transaction,
    session: &mut Session,
) -> Result<(), AttemptError> {
    let heard = RoundTripGuard::start(cx, NAME, "commit");
    let failed = match transaction.commit().await {
        Ok(_) => return Ok(()),
        Err(failed) => failed,
    };
    drop(heard);
    let code = *failed;
    if code.is_retryable_not_committed() {
        session.transaction = failed.on_error().await.ok();
    }
    let (retryable, too_old) = (session.transaction.is_some(), code.code() == TRANSACTION_TOO_OLD);
    Err(AttemptError { error: errors::commit(code), retryable, too_old })
}
