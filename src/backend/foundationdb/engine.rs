//! The cluster as an engine of the ordered layer: how a transaction begins, commits, and is tried again.

use super::NAME;
use super::errors::{self, translate};
use super::options::FoundationDbOptions;
use super::tx::{Ended, Tx};
use crate::backend::ordered::{Access, Engine, EngineLimits, Failure, Program};
use crate::backend::{Consistency, Context, Heard};
use crate::{Error, ErrorKind, Result};
use foundationdb::options::TransactionOption;
use foundationdb::{Database, FdbResult, Transaction};
use std::sync::Arc;

/// What the cluster takes as the name of a row, with the prefix of the subspace.
pub(super) const LONGEST_NAME: usize = 10_000;

#[derive(Clone)]
pub(super) struct Fdb {
    pub(super) database: Arc<Database>,
    pub(super) prefix: Arc<[u8]>,
    pub(super) options: FoundationDbOptions,
}

impl std::fmt::Debug for Fdb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fdb").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The longest pause between two attempts, in milliseconds.
const LONGEST_PAUSE: i32 = 500;

/// The transaction of the attempt before, which knows how long it has taken already, and how long to wait next time.
#[derive(Default)]
pub(super) struct Session(Option<Transaction>);

impl Fdb {
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn begin(&self, access: Access) -> Result<Transaction> {
        self.try_begin(access).map_err(translate)
    }
    fn try_begin(&self, access: Access) -> FdbResult<Transaction> {
        let transaction = self.database.create_trx()?;
        let millis = i32::try_from(self.options.timeout.as_millis()).unwrap_or(i32::MAX);
        transaction.set_option(TransactionOption::Timeout(millis.max(1)))?;
        transaction.set_option(TransactionOption::MaxRetryDelay(LONGEST_PAUSE))?;
        if let Access::Read(consistency) = access {
            // It has nothing of its own to read.
            transaction.set_option(TransactionOption::ReadYourWritesDisable)?;
            if consistency == Consistency::Eventual {
                transaction.set_option(TransactionOption::UseGrvCache)?;
            }
        }
        Ok(transaction)
    }
}

impl Engine for Fdb {
    const NAME: &'static str = NAME;
    type Session = Session;

    fn limits(&self) -> EngineLimits {
        EngineLimits {
            row: LONGEST_NAME - self.prefix.len(),
            value: 100_000,
            // Of 10,000,000, which conflict ranges count towards, too.
            transaction: 8_000_000,
            attempts: self.options.attempts,
        }
    }

    async fn attempt<P: Program>(
        &self,
        cx: &Context,
        access: Access,
        program: &Arc<P>,
        session: &mut Session,
    ) -> Result<P::Output, Failure> {
        let transaction = match session.0.take() {
            Some(transaction) => transaction,
            None => self.begin(access)?,
        };
        let tx = Tx::new(self, cx, access, transaction);
        let result = program.run(&tx).await;
        let Ended { transaction, changed, failed } = tx.end();
        let output = match (result, failed, transaction) {
            (Ok(output), ..) if !changed => return Ok(output),
            (Ok(output), _, Some(transaction)) => {
                commit(cx, transaction, session).await?;
                output
            }
            (Err(error), Some(failed), Some(transaction)) => {
                session.0 = transaction.on_error(failed).await.ok();
                return Err(Failure { error, again: session.0.is_some() });
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

/// Commits. If that fails without any doubt, waits as long as the client thinks right, and leaves the transaction to
/// the next attempt.
async fn commit(
    cx: &Context,
    transaction: Transaction,
    session: &mut Session,
) -> Result<(), Failure> {
    let heard = Heard::start(cx, NAME, "commit");
    let failed = match transaction.commit().await {
        Ok(_) => return Ok(()),
        Err(failed) => failed,
    };
    drop(heard);
    let code = *failed;
    if code.is_retryable_not_committed() {
        session.0 = failed.on_error().await.ok();
    }
    Err(Failure { error: errors::commit(code), again: session.0.is_some() })
}
