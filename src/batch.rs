//! Many operations in few round trips, and the handles by which their results are told apart.

use crate::handle::Ticket;
use crate::op::{FromReply, Named, Op, Reply};
use crate::{Backend, Error, ErrorKind, Handle, Result, Store};

/// Operations that wait to be sent together. From [`Store::batch`].
///
/// No atomicity and no isolation: it is for fewer round trips. Operations on the same key take
/// effect as though one after another, in the order in which they were added; different keys in any
/// order. There may be any number of them; the backend splits what it must.
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
    /// What was wrong before sending, by the index of its handle, ascending.
    refused: Vec<(usize, Error)>,
}

/// Room for a batch of this size is made at once.
const FEW: usize = 16;

impl<'s, B: Backend> Batch<'s, B> {
    pub(crate) fn new(store: &'s Store<B>) -> Self {
        Batch { store, ticket: Ticket::next(), ops: Vec::with_capacity(FEW), refused: Vec::new() }
    }
    /// Adds an operation that you hold as data.
    pub fn push<T: FromReply>(&mut self, op: impl Into<Op>) -> Handle<T> {
        let (op, index) = (op.into(), self.len());
        match self.store.limits().check_op(&op) {
            Ok(()) => self.ops.push(op),
            Err(e) => self.refused.push((index, e)),
        }
        Handle::new(self.ticket, index)
    }
    /// Adds an operation, or what was wrong with its arguments.
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
    /// How many operations it holds.
    pub fn len(&self) -> usize {
        self.ops.len() + self.refused.len()
    }
    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Sends the batch. All operations are carried out as far as they can be, also if one fails.
    ///
    /// # Errors
    /// That of the first operation that failed. [`exec_each`](Self::exec_each) keeps them apart.
    pub async fn exec(self) -> Result<Replies> {
        let replies = self.exec_each().await;
        match replies.replies.iter().position(Result::is_err) {
            None => Ok(replies),
            // Taken out whole, with its source.
            Some(i) => {
                Err(replies.replies.into_iter().nth(i).and_then(Result::err).unwrap_or_else(|| {
                    Error::new(ErrorKind::Other, "an error that was there a moment ago is gone")
                }))
            }
        }
    }
    /// Sends the batch, and lets each operation have its own result or error.
    pub async fn exec_each(self) -> Replies {
        let Batch { store, ticket, ops, refused } = self;
        let mut replies = match ops.is_empty() {
            true => Vec::new(),
            false => store.send_batch(&ops).await,
        };
        if replies.len() != ops.len() {
            let told = replies.len();
            replies.truncate(ops.len());
            replies.resize_with(ops.len(), || Err(missing(told)));
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
fn missing(told: usize) -> Error {
    Error::new(
        ErrorKind::Other,
        format!("the backend answered only {told} operations of the batch"),
    )
}

/// Puts what was refused where it was added.
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
    /// The result of the operation that gave this handle.
    ///
    /// # Errors
    /// Its own, after [`Batch::exec_each`]; `InvalidArgument` if the handle is of another batch.
    pub fn take<T: FromReply>(&mut self, handle: Handle<T>) -> Result<T> {
        match self.replies.get_mut(handle.index) {
            // A handle is consumed here and cannot be copied, so nobody meets what is left behind.
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
