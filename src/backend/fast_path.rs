//! The store's calls on a bare [`Memory`] backend, without a future and without copying the
//! operation. The only place where the façade knows a backend by its type.
//!
//! [`Memory`] never waits, so it needs no future. What a future costs is a store forwarding stall:
//! the operation is written in 16-byte pieces and read back whole. Figures are in
//! `docs/decisions/0004-memory-fast-path.md`.
//!
//! The compiler knows from the type whether a backend is memory; only an erased backend is compared
//! at run time.

use super::{Backend, DynBackend, Memory};
use crate::op::{Read, Reply, Write};
use crate::{Outcome, Result};
use std::any::Any;

/// A backend that is known to be [`Memory`].
pub(crate) struct FastPath<'a>(&'a Memory);

impl<'a> FastPath<'a> {
    /// `None` if `backend` is any other, erased or not.
    #[inline]
    pub(crate) fn of<B: Backend>(backend: &'a B) -> Option<Self> {
        let backend: &dyn Any = backend;
        let memory = match backend.downcast_ref::<DynBackend>() {
            Some(erased) => erased.as_memory(),
            None => backend.downcast_ref(),
        };
        memory.map(FastPath)
    }
    /// Runs one read.
    #[inline]
    pub(crate) fn read(&self, op: &Read) -> Result<Reply> {
        self.0.answer(op)
    }
    /// Runs one write. The value is moved out of `op`, so its count is not changed twice.
    #[inline]
    pub(crate) fn write(&self, op: &mut Write) -> Result<Reply> {
        self.0.apply(op)
    }
    /// Runs an atomic write. The values are moved out of `writes`.
    #[inline]
    pub(crate) fn transact(&self, writes: &mut [Write]) -> Result<Outcome> {
        self.0.apply_all(writes)
    }
}
