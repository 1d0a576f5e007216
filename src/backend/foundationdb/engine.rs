//! The cluster as an engine of the ordered layer: attempts, commits, backoff.

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

/// The transaction of the last attempt. It knows the elapsed time and the next backoff.
#[derive(Default)]
pub(super) struct Session {
    transaction: Option<Transaction>,
    /// Whether an attempt was repeated because the client refused an option.
    option_refused: bool,
}

impl Engine for Fdb {
    const NAME: &'static str = NAME;
    type Session = Session;

    fn limits(&self) -> EngineLimits {
        EngineLimits {
            max_name: MAX_KEY_LEN - self.prefix.len(),
            max_value: 100_000,
            // FoundationDB's limit is 10,000,000 bytes, with conflict ranges.
            max_transaction: 8_000_000,
            max_part_rows: usize::MAX,
            max_attempts: self.options.max_attempts,
            // A check would add a read to every blind write.
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
        self.end_attempt(cx, result, tx.finish(), session).await
    }
}

impl Fdb {
    /// Commits what a program has changed, or decides whether its error is retryable.
    async fn end_attempt<T>(
        &self,
        cx: &Context,
        result: Result<T>,
        finished: FinishedTx,
        session: &mut Session,
    ) -> Result<T, AttemptError> {
        let FinishedTx { transaction, changed, failed } = finished;
        match (result, failed, transaction) {
            (_, Some(failed), _) if failed.code() == INVALID_OPTION => {
                self.caches_read_versions.store(false, Relaxed);
                let retryable = !std::mem::replace(&mut session.option_refused, true);
                Err(AttemptError { error: translate(failed), retryable, too_old: false })
            }
            (Ok(output), ..) if !changed => Ok(output),
            (Ok(output), _, Some(transaction)) => {
                commit(cx, transaction, session).await.map(|()| output)
            }
            (Err(error), Some(failed), Some(transaction)) => {
                session.transaction = transaction.on_error(failed).await.ok();
                let retryable = session.transaction.is_some();
                let too_old = failed.code() == TRANSACTION_TOO_OLD;
                Err(AttemptError { error, retryable, too_old })
            }
            (Err(error), ..) => Err(error.into()),
            (Ok(_), _, None) => {
                let message = "a transaction outlived its program";
                Err(Error::new(ErrorKind::Other, message).into())
            }
        }
    }
}

/// Commits. If the transaction is known not to be committed, waits for the client's backoff, and
/// keeps the transaction for the next attempt.
async fn commit(
    cx: &Context,
    transaction: Transaction,
    session: &mut Session,
) -> Result<(), AttemptError> {
    let guard = RoundTripGuard::start(cx, NAME, "commit");
    let failed = match transaction.commit().await {
        Ok(_) => return Ok(()),
        Err(failed) => failed,
    };
    drop(guard);
    let code = *failed;
    if code.is_retryable_not_committed() {
        session.transaction = failed.on_error().await.ok();
    }
    let (retryable, too_old) = (session.transaction.is_some(), code.code() == TRANSACTION_TOO_OLD);
    Err(AttemptError { error: errors::commit(code), retryable, too_old })
}
