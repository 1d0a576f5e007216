//! [`Batch`]: many operations in few round trips; and its [`Replies`].

use crate::handle::Ticket;
use crate::op::{FromReply, Named, Op, Reply};
use crate::{Backend, Error, ErrorKind, Handle, Result, Store};

/// Many operations that are sent together, for fewer round trips. Made by [`Store::batch`].
///
/// It is neither atomic nor isolated. Operations on the same key take effect in the order in which
/// they were added; operations on different keys in any order. The number is not limited: the
/// backend splits the batch as it must.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let store = keyvaluestore::Store::memory();
/// store.set("name", "alice").await?;
///
/// let mut batch = store.batch();
/// let name = batch.get("name");
/// let visits = batch.incr_by("visits", 1);
/// let mut replies = batch.exec().await?;
/// assert_eq!(replies.take(name)?.unwrap(), "alice");
/// assert_eq!(replies.take(visits)?, 1);
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "nothing is sent until `exec`"]
pub struct Batch<'s, B = crate::backend::DynBackend> {
    store: &'s Store<B>,
    ticket: Ticket,
    ops: Vec<Op>,
    /// The errors found before sending, by the index of their handles, ascending.
    refused: Vec<(usize, Error)>,
}

/// The capacity that a new batch allocates.
const INITIAL_CAPACITY: usize = 16;

impl<'s, B: Backend> Batch<'s, B> {
    pub(crate) fn new(store: &'s Store<B>) -> Self {
        Batch {
            store,
            ticket: Ticket::next(),
            ops: Vec::with_capacity(INITIAL_CAPACITY),
            refused: Vec::new(),
        }
    }
    /// Adds an operation given as data.
    pub fn push<T: FromReply>(&mut self, op: impl Into<Op>) -> Handle<T> {
        let (op, index) = (op.into(), self.len());
        match self.store.limits().check_op(&op) {
            Ok(()) => self.ops.push(op),
            Err(e) => self.refused.push((index, e)),
        }
        Handle::new(self.ticket, index)
    }
    /// Adds an operation, or the error of its arguments.
    pub(crate) fn try_push<T: FromReply, O: Into<Op> + Named>(
        &mut self,
        op: Result<O>,
    ) -> Handle<T> {
        match op {
            Ok(op) => self.push(op),
            Err(e) => {
                let index = self.len();
                self.refused.push((index, e.in_operation(O::NAME)));
                Handle::new(self.ticket, index)
            }
        }
    }
    /// The number of operations.
    pub fn len(&self) -> usize {
        self.ops.len() + self.refused.len()
    }
    /// Whether it has no operations.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Sends the batch. An operation that fails does not stop the others.
    ///
    /// # Errors
    /// The error of the first operation that failed. [`exec_each`](Self::exec_each) returns all of
    /// them.
    pub async fn exec(self) -> Result<Replies> {
        let replies = self.exec_each().await;
        match replies.replies.iter().position(Result::is_err) {
            None => Ok(replies),
            Some(i) => {
                Err(replies.replies.into_iter().nth(i).and_then(Result::err).unwrap_or_else(|| {
                    Error::new(ErrorKind::Other, "the position of an error is no error")
                }))
            }
        }
    }
    /// Sends the batch. Each operation has its own result or error.
    pub async fn exec_each(self) -> Replies {
        let Batch { store, ticket, ops, refused } = self;
        let mut replies = match ops.is_empty() {
            true => Vec::new(),
            false => store.send_batch(&ops).await,
        };
        if replies.len() != ops.len() {
            let len = replies.len();
            replies.truncate(ops.len());
            replies.resize_with(ops.len(), || Err(missing(len)));
        }
        for (op, reply) in ops.iter().zip(&mut replies) {
            if reply.is_err() {
                let error = std::mem::replace(reply, Ok(Reply::Done));
                *reply = error.map_err(|e| e.in_operation(op.name()));
            }
        }
        if !refused.is_empty() {
            replies = merge(replies, refused);
        }
        Replies { ticket, replies }
    }
}

#[cold]
fn missing(len: usize) -> Error {
    Error::new(ErrorKind::Other, format!("the backend returned only {len} replies to the batch"))
}

/// Inserts the refused operations at their positions.
fn merge(replies: Vec<Result<Reply>>, refused: Vec<(usize, Error)>) -> Vec<Result<Reply>> {
    let mut merged = Vec::with_capacity(replies.len() + refused.len());
    let mut replies = replies.into_iter();
    for (index, error) in refused {
        merged.extend(replies.by_ref().take(index - merged.len()));
        merged.push(Err(error));
    }
    merged.extend(replies);
    merged
}

/// The results of a [`Batch`].
#[derive(Debug)]
pub struct Replies {
    ticket: Ticket,
    replies: Vec<Result<Reply>>,
}

impl Replies {
    /// The result of the operation that returned this handle.
    ///
    /// # Errors
    /// That of the operation, after [`Batch::exec_each`]; `InvalidArgument` if the handle belongs
    /// to another batch.
    pub fn take<T: FromReply>(&mut self, handle: Handle<T>) -> Result<T> {
        match self.replies.get_mut(handle.index) {
            // `take` consumes the handle, and it is not `Clone`, so no call can see the rest.
            Some(reply) if handle.ticket == self.ticket => {
                T::from_reply(std::mem::replace(reply, Ok(Reply::Done))?)
            }
            _ => Err(Error::invalid("the handle belongs to another batch")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Context;
    use crate::op::{Read, Write};
    use crate::{Memory, Outcome};
    use futures_util::FutureExt;

    #[test]
    fn a_refused_operation_keeps_its_place_and_the_others_their_answers() {
        let store = Store::memory();
        let mut batch = store.batch();
        let first = batch.set("", "no key");
        let a = batch.set_nx("a", "1");
        let nan = batch.zadd("z", "m", f64::NAN);
        let b = batch.incr_by("b", 2);
        let long = batch.get(vec![b'k'; 2049]);
        assert_eq!(batch.len(), 5);
        let mut replies = batch.exec_each().now_or_never().unwrap();
        assert_eq!(replies.take(first).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert!(replies.take(a).unwrap());
        assert_eq!(replies.take(nan).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(replies.take(b).unwrap(), 2);
        assert_eq!(replies.take(long).unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn exec_tells_the_first_error_with_its_operation() {
        let store = Store::memory();
        let mut batch = store.batch();
        batch.set("s", "text");
        batch.incr_by("s", 1);
        batch.get("");
        let error = batch.exec().now_or_never().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::WrongType, Some("incr_by")));
    }

    /// Answers the first operations of a batch alone, or one answer too many.
    #[derive(Debug)]
    struct Miscounts(Memory, usize);

    impl Backend for Miscounts {
        async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
            self.0.read(cx, op).await
        }
        async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
            self.0.write(cx, op).await
        }
        async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
            let mut replies = self.0.batch(cx, ops).await;
            replies.resize_with(self.1, || Ok(Reply::Done));
            replies
        }
        async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
            self.0.transact(cx, writes).await
        }
    }

    #[test]
    fn an_answer_that_the_backend_leaves_out_is_an_error() {
        for told in [1, 2, 5] {
            let store = Store::with_backend(Miscounts(Memory::new(), told));
            let mut batch = store.batch();
            let handles = [batch.incr_by("a", 1), batch.incr_by("", 2), batch.incr_by("b", 3)];
            let [a, refused, b] = handles;
            let mut replies = batch.exec_each().now_or_never().unwrap();
            assert_eq!(replies.take(a).unwrap(), 1);
            assert_eq!(replies.take(refused).unwrap_err().kind(), ErrorKind::InvalidArgument);
            match replies.take(b) {
                Ok(n) => assert_eq!((told > 1, n), (true, 3)),
                Err(e) => assert_eq!(
                    (told, e.kind(), e.operation()),
                    (1, ErrorKind::Other, Some("incr_by"))
                ),
            }
        }
    }

    #[test]
    fn a_handle_of_another_batch_is_refused() {
        let store = Store::memory();
        let (mut one, mut two) = (store.batch(), store.batch());
        let (handle, _) = (one.get("k"), two.get("k"));
        let mut replies = two.exec().now_or_never().unwrap().unwrap();
        assert_eq!(replies.take(handle).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
