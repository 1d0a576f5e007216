//! The cluster as an engine of the ordered layer: how a transaction begins, commits, and is tried
//! again.

use super::NAME;
use super::errors::{self, INVALID_OPTION, TRANSACTION_TOO_OLD, translate};
use super::options::FoundationDbOptions;
use super::tx::{Ended, Tx};
use crate::backend::ordered::{Access, Engine, EngineLimits, Failure, Program};
use crate::backend::{Consistency, Context};
use crate::observe::RoundTripGuard;
use crate::{Error, ErrorKind, Result};
use foundationdb::options::{DatabaseOption, TransactionOption};
use foundationdb::{Database, FdbResult, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What the cluster takes as the name of a row, with the prefix of the subspace.
pub(super) const LONGEST_NAME: usize = 10_000;

#[derive(Clone)]
pub(super) struct Fdb {
    pub(super) database: Arc<Database>,
    pub(super) prefix: Arc<[u8]>,
    pub(super) options: FoundationDbOptions,
    /// Whether the database has been told how patient to be; otherwise each transaction is.
    pub(super) is_patience_of_database: bool,
    /// Whether the client may answer with a read version that it has asked for a moment ago. Only
    /// one that can load other versions of itself can; the others say so when they are asked.
    pub(super) caches_versions: Arc<AtomicBool>,
}

impl std::fmt::Debug for Fdb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fdb").field("options", &self.options).finish_non_exhaustive()
    }
}

/// So many rows may be kept by the client, which costs less than to tell it not to.
const FEW: usize = 1_000;

/// The longest pause between two attempts, in milliseconds.
const LONGEST_PAUSE: i32 = 500;

/// The transaction of the attempt before, which knows how long it has taken already, and how long
/// to wait next time.
#[derive(Default)]
pub(super) struct Session {
    transaction: Option<Transaction>,
    /// It has been tried again without an option that the client has refused.
    plain: bool,
}

impl Fdb {
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Begins a transaction that will read so many rows at most.
    pub(super) fn begin(&self, access: Access, rows: usize) -> Result<Transaction> {
        self.try_begin(access, rows).map_err(translate)
    }
    fn try_begin(&self, access: Access, rows: usize) -> FdbResult<Transaction> {
        let transaction = self.database.create_trx()?;
        // Each option is a message to the network thread.
        if !self.is_patience_of_database {
            transaction.set_option(TransactionOption::Timeout(self.options.timeout_millis()))?;
            transaction.set_option(TransactionOption::MaxRetryDelay(LONGEST_PAUSE))?;
        }
        if access != Access::Write && rows > FEW {
            // It has nothing of its own to read, and otherwise the client would keep all that it
            // reads.
            transaction.set_option(TransactionOption::ReadYourWritesDisable)?;
        }
        let eventual = access == Access::Read(Consistency::Eventual);
        if eventual && self.caches_versions.load(Relaxed) {
            transaction.set_option(TransactionOption::UseGrvCache)?;
        }
        Ok(transaction)
    }

    /// Makes the options those of all transactions of the database, which has to be this store's
    /// alone.
    pub(super) fn with_patience_of_database(self) -> Result<Self> {
        let timeout = DatabaseOption::TransactionTimeout(self.options.timeout_millis());
        self.database.set_option(timeout).map_err(translate)?;
        let pause = DatabaseOption::TransactionMaxRetryDelay(LONGEST_PAUSE);
        self.database.set_option(pause).map_err(translate)?;
        Ok(Fdb { is_patience_of_database: true, ..self })
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
            part: usize::MAX,
            attempts: self.options.attempts,
            // To look would cost every blind write a read.
            typed: false,
        }
    }

    async fn attempt<P: Program>(
        &self,
        cx: &Context,
        access: Access,
        program: &Arc<P>,
        session: &mut Session,
    ) -> Result<P::Output, Failure> {
        let transaction = match session.transaction.take() {
            Some(transaction) => transaction,
            None => self.begin(access, program.most_rows())?,
        };
        let tx = Tx::new(self, cx, access, transaction);
        let result = program.run(&tx).await;
        let Ended { transaction, changed, failed } = tx.end();
        let output = match (result, failed, transaction) {
            (_, Some(failed), _) if failed.code() == INVALID_OPTION => {
                self.caches_versions.store(false, Relaxed);
                let again = !std::mem::replace(&mut session.plain, true);
                return Err(Failure { error: translate(failed), again, too_old: false });
            }
            (Ok(output), ..) if !changed => return Ok(output),
            (Ok(output), _, Some(transaction)) => {
                commit(cx, transaction, session).await?;
                output
            }
            (Err(error), Some(failed), Some(transaction)) => {
                session.transaction = transaction.on_error(failed).await.ok();
                let too_old = failed.code() == TRANSACTION_TOO_OLD;
                return Err(Failure { error, again: session.transaction.is_some(), too_old });
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
) -> Result<(), Failure> {
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
    let (again, too_old) = (session.transaction.is_some(), code.code() == TRANSACTION_TOO_OLD);
    Err(Failure { error: errors::commit(code), again, too_old })
}
