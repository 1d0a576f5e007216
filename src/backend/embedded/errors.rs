//! Maps redb's errors to ours.

use crate::{Error, ErrorKind};
use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};
use std::any::Any;
use std::io;

const PANICKED: &str = "the storage engine panicked: the file may be damaged; open it again, and \
                        if that fails restore it from a backup";

pub(super) fn storage(e: StorageError) -> Error {
    let (kind, message) = match &e {
        StorageError::Corrupted(_) => (
            ErrorKind::Corrupt,
            "the file is damaged; restore it from a backup, or move it away to start empty",
        ),
        StorageError::Io(e) => return io_error(e.kind()).with_source(e.to_string()),
        StorageError::ValueTooLarge(_) => {
            (ErrorKind::TooLarge, "the value exceeds the limit of the file")
        }
        StorageError::PreviousIo => {
            (ErrorKind::Unavailable, "an earlier read or write of the file failed")
        }
        StorageError::DatabaseClosed => return reopening(),
        StorageError::LockPoisoned(_) => (ErrorKind::Corrupt, PANICKED),
        _ => (ErrorKind::Other, "the storage engine failed"),
    };
    Error::new(kind, message).with_source(e)
}

pub(super) fn io(e: io::Error) -> Error {
    io_error(e.kind()).with_source(e)
}

pub(super) fn io_error(kind: io::ErrorKind) -> Error {
    use io::ErrorKind::*;
    match kind {
        InvalidData => Error::new(
            ErrorKind::Corrupt,
            "the file is damaged, or not a file of keyvaluestore; restore it from a backup, or \
             open another path",
        ),
        UnexpectedEof => Error::new(
            ErrorKind::Corrupt,
            "the file is cut short; restore it from a backup, or move it away to start empty",
        ),
        PermissionDenied | ReadOnlyFilesystem => {
            Error::new(ErrorKind::AccessDenied, "no permission to read and write the file")
        }
        NotFound => Error::invalid("the directory of the file does not exist; create it first"),
        IsADirectory => Error::invalid("the path names a directory; name a file in it"),
        InvalidInput | InvalidFilename => Error::invalid("the path cannot be the name of a file"),
        NotADirectory => Error::invalid("a component of the path is not a directory"),
        StorageFull | QuotaExceeded => Error::new(ErrorKind::Unavailable, "the disk is full"),
        _ => Error::new(ErrorKind::Unavailable, "the file cannot be read or written"),
    }
}

pub(super) fn database(e: DatabaseError) -> Error {
    match e {
        DatabaseError::Storage(e) => storage(e),
        DatabaseError::DatabaseAlreadyOpen => Error::new(
            ErrorKind::Unavailable,
            "the file is already open, in this process or another; clone the store to share it",
        ),
        DatabaseError::UpgradeRequired(_) => Error::new(
            ErrorKind::Unsupported,
            "the file was written by an older version of its engine",
        ),
        e => Error::new(ErrorKind::Unavailable, "the file cannot be opened").with_source(e),
    }
}

pub(super) fn transaction(e: TransactionError) -> Error {
    match e {
        TransactionError::Storage(e) => storage(e),
        e => Error::new(ErrorKind::Other, "a transaction cannot be started").with_source(e),
    }
}

pub(super) fn table(e: TableError) -> Error {
    match e {
        TableError::Storage(e) => storage(e),
        e => {
            let message = "the file belongs to another application; open another path";
            Error::new(ErrorKind::Corrupt, message).with_source(e)
        }
    }
}

pub(super) fn commit(e: CommitError) -> Error {
    match e {
        CommitError::Storage(e) => storage(e),
        e => Error::new(ErrorKind::Other, "the commit failed").with_source(e),
    }
}

/// A panic of the engine. It may be caused by a damaged file.
pub(super) fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
        .to_owned();
    Error::new(ErrorKind::Corrupt, PANICKED).with_source(text)
}

pub(super) fn reopening() -> Error {
    Error::new(ErrorKind::Unavailable, "the file is being reopened")
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the store is closed").for_good()
}
