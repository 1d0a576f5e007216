//! [`Error`], the only error type: a kind, a message, and the error of the backend as its source.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A result whose error type is [`Error`] by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The category of an [`Error`], by the reaction that it allows. Every backend maps its own errors
/// to these kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call is invalid: an empty key, NaN, one target twice in an atomic write. Nothing was
    /// written. DynamoDB: `ValidationException`.
    InvalidArgument,
    /// A key, a value or a request exceeds a limit of the store
    /// ([`Limits`](crate::Limits)) or of the backend.
    TooLarge,
    /// The key holds another type than the operation works on (Redis: `WRONGTYPE`), or the bytes do
    /// not convert to the requested Rust type.
    WrongType,
    /// The result of an increment does not fit into an `i64`, or is NaN. Nothing was changed.
    Overflow,
    /// Concurrent writes conflicted with this one until the backend had no retries left. DynamoDB:
    /// `TransactionConflictException`. FoundationDB: `not_committed`.
    Conflict,
    /// The backend rejected the request because of a rate limit. DynamoDB: `ThrottlingException`,
    /// `ProvisionedThroughputExceededException`.
    Throttled,
    /// The backend cannot be reached, or cannot serve the request now. Redis: `LOADING`, `OOM`,
    /// `CLUSTERDOWN`. DynamoDB: `InternalServerError`.
    Unavailable,
    /// The backend did not reply in time.
    Timeout,
    /// The credentials are missing or not valid, or lack a permission. Redis: `NOAUTH`, `NOPERM`.
    /// DynamoDB: `AccessDeniedException`.
    AccessDenied,
    /// The stored data is damaged, or was written by another program.
    Corrupt,
    /// This backend, or this build of the library, does not support the operation.
    Unsupported,
    /// Any other failure.
    Other,
}

impl ErrorKind {
    /// The name in metrics and spans: `"wrong_type"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::InvalidArgument => "invalid_argument",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::WrongType => "wrong_type",
            ErrorKind::Overflow => "overflow",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::AccessDenied => "access_denied",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Other => "other",
        }
    }
}

/// The error of an operation: a [kind](Error::kind), a message, and a
/// [source](StdError::source). Messages never contain keys or values.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{ErrorKind, Memory, Store};
/// let store = Store::new(Memory::new());
/// store.set("name", "alice").await?;
/// let error = store.incr_by("name", 1).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::WrongType);
/// assert_eq!(error.operation(), Some("incr_by"));
/// assert!(!error.is_retryable());
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// A clone shares the source: if one failure affects several operations of a batch, all of them
/// report it.
// One pointer, so that a `Result` of a small type stays small.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: Option<&'static str>,
    message: Cow<'static, str>,
    outcome_unknown: bool,
    /// Whether a retry cannot help, although it often helps with this kind.
    permanent: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error without a source. `message` should not contain keys or values.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Error(Arc::new(Inner {
            kind,
            operation: None,
            message: message.into(),
            outcome_unknown: false,
            permanent: false,
            source: None,
        }))
    }
    /// Sets the cause, which [`source`](StdError::source) returns.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.make_mut().source = Some(Arc::from(source.into()));
        self
    }
    /// Sets the name of the operation that failed, unless it is already set.
    #[must_use]
    pub fn in_operation(mut self, name: &'static str) -> Self {
        if self.0.operation.is_none() {
            self.make_mut().operation = Some(name);
        }
        self
    }
    /// Marks the write as in doubt: it may or may not have been applied.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Self {
        self.make_mut().outcome_unknown = true;
        self
    }
    /// The category of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// The operation that failed, as the name of its method: `"zadd"`.
    ///
    /// Aliases report the operation they are sent as: `delete_xx` as `"delete"`, `zhrem` as
    /// `"zrem"`. If an argument could not be converted, the condition suffix is missing (`set_nx`
    /// reports `"set"`).
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }
    /// Whether a retry of the same call can succeed. Before you retry a write that is not
    /// idempotent, check [`outcome_is_unknown`](Self::outcome_is_unknown), too.
    pub fn is_retryable(&self) -> bool {
        use ErrorKind::*;
        matches!(self.0.kind, Conflict | Throttled | Unavailable | Timeout) && !self.0.permanent
    }
    /// Whether the write is in doubt: its reply was lost, and it may have been applied.
    pub fn outcome_is_unknown(&self) -> bool {
        self.0.outcome_unknown
    }

    /// The same error for a read, which is never in doubt.
    #[cfg(feature = "__ordered")]
    pub(crate) fn of_read(mut self) -> Self {
        self.make_mut().outcome_unknown = false;
        self
    }
    /// Marks the error as not retryable, whatever its kind.
    #[cfg(feature = "embedded")]
    pub(crate) fn for_good(mut self) -> Self {
        self.make_mut().permanent = true;
        self
    }
    /// Adds the position of the write in its atomic write to the message.
    pub(crate) fn of_write(mut self, position: usize) -> Self {
        self.make_mut().message = format!("write {position}: {}", self.0.message).into();
        self
    }
    /// Adds the server to the message.
    #[cfg(feature = "redis")]
    pub(crate) fn at(mut self, server: &str) -> Self {
        self.make_mut().message = format!("{} ({server})", self.0.message).into();
        self
    }
    /// Mutable access. Clones the error first if it is shared.
    fn make_mut(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::InvalidArgument, message)
    }
    pub(crate) fn wrong_type(message: &'static str) -> Self {
        Error::new(ErrorKind::WrongType, message)
    }
}

impl fmt::Display for Error {
    // Without the sources: callers print the chain through `source`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = self.0.operation {
            write!(f, "{operation}: ")?;
        }
        f.write_str(&self.0.message)?;
        if self.0.outcome_unknown {
            f.write_str(" (it is not known whether the write was applied)")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("message", &self.0.message)
            .field("outcome_unknown", &self.0.outcome_unknown)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word_and_tells_its_operation_once() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        let cause = std::io::Error::other("disk");
        let error = Error::new(ErrorKind::Unavailable, "the file cannot be written")
            .with_source(cause)
            .with_unknown_outcome()
            .in_operation("set")
            .in_operation("outer");
        assert_eq!(
            error.to_string(),
            "set: the file cannot be written (it is not known whether the write was applied)"
        );
        assert_eq!(error.source().unwrap().to_string(), "disk");
        assert!(error.is_retryable() && error.outcome_is_unknown());
    }
    #[test]
    fn a_clone_has_the_same_cause_and_is_changed_alone() {
        let error = Error::new(ErrorKind::Unavailable, "the file cannot be written")
            .with_source(std::io::Error::other("disk"));
        let write = error.clone().with_unknown_outcome().in_operation("set");
        assert!(write.outcome_is_unknown() && !error.outcome_is_unknown());
        assert_eq!((write.operation(), error.operation()), (Some("set"), None));
        let [one, other] = [&write, &error].map(|e| e.source().unwrap() as *const dyn StdError);
        assert!(std::ptr::addr_eq(one, other));
    }
}
