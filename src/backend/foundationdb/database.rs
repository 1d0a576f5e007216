//! [`Fdb`]: a database, the prefix of a subspace in it, and the options of its transactions.

use super::errors::translate;
use super::options::FoundationDbOptions;
use crate::Result;
use crate::backend::Consistency;
use crate::backend::ordered::Access;
use foundationdb::options::{DatabaseOption, TransactionOption};
use foundationdb::{Database, FdbResult, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What the cluster takes as the name of a row, with the prefix of the subspace.
pub(super) const MAX_KEY_LEN: usize = 10_000;

#[derive(Clone)]
pub(super) struct Fdb {
    pub(super) database: Arc<Database>,
    pub(super) prefix: Arc<[u8]>,
    pub(super) options: FoundationDbOptions,
    /// Whether the database has been told how patient to be; otherwise each transaction is.
    pub(super) has_database_options: bool,
    /// Whether the client may answer with a read version that it has asked for a moment ago. Only
    /// one that can load other versions of itself can; the others say so when they are asked.
    pub(super) caches_read_versions: Arc<AtomicBool>,
}

impl std::fmt::Debug for Fdb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fdb").field("options", &self.options).finish_non_exhaustive()
    }
}

/// So many rows may be kept by the client, which costs less than to tell it not to.
const READ_YOUR_WRITES_ROWS: usize = 1_000;

/// The longest pause between two attempts, in milliseconds.
const MAX_RETRY_DELAY_MS: i32 = 500;

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
        if !self.has_database_options {
            transaction.set_option(TransactionOption::Timeout(self.options.timeout_millis()))?;
            transaction.set_option(TransactionOption::MaxRetryDelay(MAX_RETRY_DELAY_MS))?;
        }
        if access != Access::Write && rows > READ_YOUR_WRITES_ROWS {
            // It has nothing of its own to read, and otherwise the client would keep all that it
            // reads.
            transaction.set_option(TransactionOption::ReadYourWritesDisable)?;
        }
        let eventual = access == Access::Read(Consistency::Eventual);
        if eventual && self.caches_read_versions.load(Relaxed) {
            transaction.set_option(TransactionOption::UseGrvCache)?;
        }
        Ok(transaction)
    }

    /// Makes the options those of all transactions of the database, which has to be this store's
    /// alone.
    pub(super) fn with_database_options(self) -> Result<Self> {
        let timeout = DatabaseOption::TransactionTimeout(self.options.timeout_millis());
        self.database.set_option(timeout).map_err(translate)?;
        let pause = DatabaseOption::TransactionMaxRetryDelay(MAX_RETRY_DELAY_MS);
        self.database.set_option(pause).map_err(translate)?;
        Ok(Fdb { has_database_options: true, ..self })
    }
}
