//! One Redis-like API over interchangeable key-value backends.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod atomic;
mod batch;
mod bytes;
mod error;
mod limits;
mod op;
mod reply;
mod score;
mod store;
mod url;
mod value;

pub mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod ops;

pub use atomic::{AtomicWrite, Conditional, Failed, Outcome};
#[cfg(feature = "embedded")]
pub use backend::Embedded;
pub use backend::{Backend, Memory};
pub use batch::{Batch, Handle, Replies};
pub use bytes::{Key, Value};
pub use error::{Error, ErrorKind, Result};
pub use limits::Limits;
pub use op::{Condition, Item, Op, Read, Write};
pub use reply::{FromReply, Reply};
pub use score::{LexRange, Range, Score, ScoreRange, ToLexRange};
pub use store::Store;
#[cfg(feature = "json")]
pub use value::Json;
#[cfg(feature = "msgpack")]
pub use value::MsgPack;
pub use value::{FromValue, ToValue};
