//! [`Fdb`]: a database, a subspace in it, and the options of its transactions.

use super::errors::translate;
use super::options::FoundationDbOptions;
use crate::Result;
use crate::backend::Consistency;
use crate::backend::ordered::Access;
use foundationdb::options::{DatabaseOption, TransactionOption};
use foundationdb::{Database, FdbResult, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// FoundationDB's limit of a key, including the prefix of the subspace.
pub(super) const MAX_KEY_LEN: usize = 10_000;

#[derive(Clone)]
pub(super) struct Fdb {
    pub(super) database: Arc<Database>,
    pub(super) prefix: Arc<[u8]>,
    pub(super) options: FoundationDbOptions,
    /// Whether timeout and retry delay are set on the database. If not, each transaction sets them.
    pub(super) has_database_options: bool,
    /// Whether the client can cache read versions (`USE_GRV_CACHE`). Only the multi-version client
    /// can. Others refuse the option, and this is then set to false.
    pub(super) caches_read_versions: Arc<AtomicBool>,
}

impl std::fmt::Debug for Fdb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fdb").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Below this, setting `READ_YOUR_WRITES_DISABLE` costs more than the client's copy of the rows.
const READ_YOUR_WRITES_ROWS: usize = 1_000;

/// The maximum backoff between two attempts.
const MAX_RETRY_DELAY_MS: i32 = 500;

impl Fdb {
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Begins a transaction that reads at most `rows` rows.
    pub(super) fn begin(&self, access: Access, rows: usize) -> Result<Transaction> {
        self.try_begin(access, rows).map_err(translate)
    }
    fn try_begin(&self, access: Access, rows: usize) -> FdbResult<Transaction> {
        let transaction = self.database.create_trx()?;
        // Setting an option sends a message to the network thread.
        if !self.has_database_options {
            transaction.set_option(TransactionOption::Timeout(self.options.timeout_millis()))?;
            transaction.set_option(TransactionOption::MaxRetryDelay(MAX_RETRY_DELAY_MS))?;
        }
        if access != Access::Write && rows > READ_YOUR_WRITES_ROWS {
            // A reader has no writes of its own. Without this option the client would keep a copy
            // of all rows.
            transaction.set_option(TransactionOption::ReadYourWritesDisable)?;
        }
        let eventual = access == Access::Read(Consistency::Eventual);
        if eventual && self.caches_read_versions.load(Relaxed) {
            transaction.set_option(TransactionOption::UseGrvCache)?;
        }
        Ok(transaction)
    }

    /// Sets the options on the database. It must not be shared with other stores.
    pub(super) fn with_database_options(self) -> Result<Self> {
        let timeout = DatabaseOption::TransactionTimeout(self.options.timeout_millis());
        self.database.set_option(timeout).map_err(translate)?;
        let pause = DatabaseOption::TransactionMaxRetryDelay(MAX_RETRY_DELAY_MS);
        self.database.set_option(pause).map_err(translate)?;
        Ok(Fdb { has_database_options: true, ..self })
    }
}
