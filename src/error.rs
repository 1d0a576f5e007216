//! One error type: a kind to act on, a sentence to read, and the backend's own error as the source.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A result whose error is an [`Error`] unless it says otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it. The same on every backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call itself is wrong: an empty key, a NaN, one item twice in an atomic write. Nothing
    /// was sent.
    InvalidArgument,
    /// Something is longer or more than a limit allows.
    TooLarge,
    /// The key holds another type than the operation works on, or bytes are not of the type asked
    /// for.
    WrongType,
    /// The result of an increment cannot be represented. Nothing was changed.
    Overflow,
    /// Other writes got in the way more often than the backend was willing to try again.
    Conflict,
    /// The backend is asked for more than it is provisioned for.
    Throttled,
    /// The backend cannot be reached, or is not able to serve now.
    Unavailable,
    /// No answer came in time.
    Timeout,
    /// The backend knows the caller and refuses, or does not know the caller.
    AccessDenied,
    /// What is stored is damaged, or was written by something else.
    Corrupt,
    /// This backend, or this build of the library, cannot do it.
    Unsupported,
    /// A failure that fits none of the others.
    Other,
}

impl ErrorKind {
    /// Its name in metrics and spans: `"wrong_type"`.
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

/// An operation that did not happen, or may not have.
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
/// One pointer, and cheap to clone: every operation of a batch that the same failure hit has the
/// same cause.
// One pointer, so that a `Result` of anything small stays small on the path where nothing fails.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: Option<&'static str>,
    message: Cow<'static, str>,
    outcome_unknown: bool,
    /// Whether it will not be otherwise later, although its kind mostly is.
    for_good: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error with no underlying cause. `message` should not contain keys or values.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Error(Arc::new(Inner {
            kind,
            operation: None,
            message: message.into(),
            outcome_unknown: false,
            for_good: false,
            source: None,
        }))
    }
    /// Attaches the cause, which stays reachable through [`source`](StdError::source).
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner().source = Some(Arc::from(source.into()));
        self
    }
    /// Names the operation that failed, unless an inner layer has named it.
    #[must_use]
    pub fn in_operation(mut self, name: &'static str) -> Self {
        if self.0.operation.is_none() {
            self.inner().operation = Some(name);
        }
        self
    }
    /// Says that the write may or may not have been applied.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Self {
        self.inner().outcome_unknown = true;
        self
    }
    /// What a caller can act on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// The operation that failed, by the name of its method: `"zadd"`.
    ///
    /// Aliases report the operation they are sent as: `delete_xx` as `"delete"`, `zhrem` as
    /// `"zrem"`. If an argument could not be converted, the condition suffix is missing (`set_nx`
    /// reports `"set"`).
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }
    /// Whether trying the same call again can help. Look at
    /// [`outcome_is_unknown`](Self::outcome_is_unknown), too, before repeating a write that is not
    /// idempotent.
    pub fn is_retryable(&self) -> bool {
        use ErrorKind::*;
        matches!(self.0.kind, Conflict | Throttled | Unavailable | Timeout) && !self.0.for_good
    }
    /// Whether the write may have been applied although it failed: the answer was lost.
    pub fn outcome_is_unknown(&self) -> bool {
        self.0.outcome_unknown
    }

    /// The same for a read, whose outcome cannot matter.
    #[cfg(feature = "__ordered")]
    pub(crate) fn of_read(mut self) -> Self {
        self.inner().outcome_unknown = false;
        self
    }
    /// Says that trying again does not help.
    #[cfg(feature = "embedded")]
    pub(crate) fn for_good(mut self) -> Self {
        self.inner().for_good = true;
        self
    }
    /// Says which write of an atomic write was refused.
    pub(crate) fn of_write(mut self, position: usize) -> Self {
        self.inner().message = format!("write {position}: {}", self.0.message).into();
        self
    }
    /// Names the server that it is about.
    #[cfg(feature = "redis")]
    pub(crate) fn at(mut self, server: &str) -> Self {
        self.inner().message = format!("{} ({server})", self.0.message).into();
        self
    }
    /// To change it: a copy of its own, if others hold the same error.
    fn inner(&mut self) -> &mut Inner {
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
    // Prints itself only: callers that want the chain walk `source`.
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
