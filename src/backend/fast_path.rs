//! The store's calls on a bare [`Memory`] backend, without a future and without copying the
//! operation. The only place where the façade knows a backend by its type.
//!
//! [`Memory`] never waits, so it needs no future. What a future costs is a store forwarding stall:
//! the operation is written in 16-byte pieces and read back whole. Without it a `set` takes 47 ns
//! instead of 82. See `docs/decisions/0004-memory-fast-path.md`.
//!
//! Each function returns `None` for any other backend. The compiler knows that from the type; only
//! an erased backend is compared at run time.

use super::{Backend, DynBackend, Memory};
use crate::op::{Read, Reply, Write};
use crate::{Outcome, Result};
use std::any::Any;

/// Runs one read.
#[inline]
pub(crate) fn read<B: Backend>(backend: &B, op: &Read) -> Option<Result<Reply>> {
    as_memory(backend).map(|memory| memory.answer(op))
}

/// Runs one write. The value is moved out of `op`, so it is neither copied nor counted twice.
#[inline]
pub(crate) fn write<B: Backend>(backend: &B, op: &mut Write) -> Option<Result<Reply>> {
    as_memory(backend).map(|memory| memory.apply(op))
}

/// Runs an atomic write. The values are moved out of `writes`.
#[inline]
pub(crate) fn transact<B: Backend>(backend: &B, writes: &mut [Write]) -> Option<Result<Outcome>> {
    as_memory(backend).map(|memory| memory.apply_all(writes))
}

/// The backend as [`Memory`], if it is one, erased or not.
#[inline]
pub(crate) fn as_memory<B: Backend>(backend: &B) -> Option<&Memory> {
    let backend: &dyn Any = backend;
    match backend.downcast_ref::<DynBackend>() {
        Some(erased) => erased.as_memory(),
        None => backend.downcast_ref(),
    }
}
