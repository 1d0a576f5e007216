//! Batches: which operations run concurrently, and in how few requests.
//!
//! A batch is cut into stages. Within a stage no two operations conflict, so that reads and
//! unconditional writes are grouped in `BatchGetItem` and `BatchWriteItem`, and all requests run
//! concurrently.

use super::action::{Action, ActionKind};
use super::batch_write::{GroupWrite, MAX_WRITE_ITEMS, delete, write_group};
use super::call::RequestContext;
use super::flow::{FlowControl, Job, MAX_GET_ITEMS, MAX_WRITE_GROUP_BYTES, Size, run_concurrently};
use super::read::{self, PrimaryKey};
use super::single;
use super::write::{NextRequest, OnSuccess, initial_request, range_key};
use crate::op::{Op, Read, Reply, Write};
use crate::{Error, ErrorKind, Result};
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use std::collections::HashMap;

/// A map that lives for one call.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Replies with the index of their operation.
type Replies = Vec<(usize, Result<Reply>)>;

pub(super) async fn batch(cx: &RequestContext<'_>, ops: &[Op]) -> Vec<Result<Reply>> {
    let mut replies: Vec<Option<Result<Reply>>> = ops.iter().map(|_| None).collect();
    let (sequential, flow) = (cx.sequential(), FlowControl::new());
    for stage in stages(ops) {
        let jobs = jobs(&sequential, &flow, ops, &stage);
        for (i, reply) in run_concurrently(cx, &flow, jobs).await.into_iter().flatten() {
            replies[i] = Some(reply);
        }
    }
    let missing = || Err(Error::new(ErrorKind::Other, "the operation has no reply"));
    replies.into_iter().map(|reply| reply.unwrap_or_else(missing)).collect()
}

/// The stage after the last read and the last write of an item or a key. 0 if there was none.
#[derive(Clone, Copy, Default)]
struct LastAccess {
    read: usize,
    written: usize,
}

impl LastAccess {
    fn max(self, other: LastAccess) -> LastAccess {
        LastAccess { read: self.read.max(other.read), written: self.written.max(other.written) }
    }
}

#[derive(Clone, Copy, Default)]
struct KeyAccess {
    /// By operations on all items of the key, such as ranges.
    whole: LastAccess,
    /// By any operation.
    any: LastAccess,
}

/// The range key of the item that an operation accesses, and whether it writes. `None` means all
/// items of the key.
fn accessed_item(op: &Op) -> (Option<&[u8]>, bool) {
    match op {
        Op::Read(op) => (read::range_key(op), false),
        Op::Write(Write::Delete(_)) => (None, true),
        Op::Write(op) => (Some(range_key(op)), true),
    }
}

/// Cuts a batch into stages that run one after another. Operations of one stage do not conflict.
fn stages(ops: &[Op]) -> Vec<Vec<usize>> {
    if ops.iter().all(|op| matches!(op, Op::Read(_))) {
        return vec![(0..ops.len()).collect()];
    }
    // Most batches have no operation on a whole key. They need no map of keys.
    let by_key = ops.iter().any(|op| accessed_item(op).0.is_none());
    let mut keys: Map<&[u8], KeyAccess> = Map::default();
    let mut items: Map<PrimaryKey<'_>, LastAccess> = Map::default();
    items.reserve(ops.len());
    let (mut stages, mut unused): (Vec<Vec<usize>>, _) = (Vec::new(), KeyAccess::default());
    for (i, op) in ops.iter().enumerate() {
        let key = if by_key { keys.entry(op.key()).or_default() } else { &mut unused };
        let (rk, writes) = accessed_item(op);
        let item = rk.map(|rk| items.entry((op.key(), rk)).or_default());
        let before = item.as_ref().map_or(key.any, |item| item.max(key.whole));
        let stage = if writes { before.read.max(before.written) } else { before.written };
        let access = if writes {
            LastAccess { read: 0, written: stage + 1 }
        } else {
            LastAccess { read: stage + 1, written: 0 }
        };
        key.any = key.any.max(access);
        let accessed = item.unwrap_or(&mut key.whole);
        *accessed = accessed.max(access);
        if stage == stages.len() {
            stages.push(Vec::with_capacity(ops.len() - i));
        }
        stages[stage].push(i);
    }
    stages
}

/// The jobs of a stage: groups of reads and writes, and single requests for the other operations.
fn jobs<'j>(
    cx: &'j RequestContext<'j>,
    flow: &'j FlowControl,
    ops: &'j [Op],
    stage: &[usize],
) -> Vec<Job<'j, Replies>> {
    let mut jobs: Vec<Job<'j, Replies>> = Vec::new();
    let mut indexes: Map<PrimaryKey<'j>, usize> = Map::default();
    let mut reads: Vec<ReadGroup<'j>> = Vec::new();
    let mut writes = Vec::with_capacity(stage.len());
    for &i in stage {
        match &ops[i] {
            Op::Read(op) => match read::range_key(op).filter(|rk| read::is_valid_range_key(rk)) {
                Some(rk) => {
                    // Several reads of one item request it once.
                    let (item, next) = ((&op.key()[..], rk), indexes.len());
                    let index = *indexes.entry(item).or_insert(next);
                    if index / MAX_GET_ITEMS == reads.len() {
                        reads.push(ReadGroup::default());
                    }
                    reads[index / MAX_GET_ITEMS].push(i, op, item, index % MAX_GET_ITEMS);
                }
                None => {
                    jobs.push(Job::new(Size::Bytes(0), one(cx, i, single::read(cx, op))));
                }
            },
            Op::Write(op) => match UnconditionalWrite::new(i, op) {
                Some(write) => writes.push(write),
                None => {
                    let write = one(cx, i, single::write(cx, op));
                    jobs.push(Job::new(Size::Bytes(op.size()), write));
                }
            },
        }
    }
    let reads = reads.into_iter();
    jobs.extend(reads.map(|group| Job::new(Size::Read, run_reads(cx, flow, group))));
    jobs.extend(
        write_groups(writes)
            .map(|(bytes, group)| Job::new(Size::Bytes(bytes), run_writes(cx, group))),
    );
    jobs
}

/// Cuts writes into groups, by number and by size. Returns each with its size.
fn write_groups(
    writes: Vec<UnconditionalWrite<'_>>,
) -> impl Iterator<Item = (usize, Vec<UnconditionalWrite<'_>>)> {
    let mut writes = writes.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = writes.next()?;
        let (mut bytes, mut group) = (first.op.size(), vec![first]);
        while group.len() < MAX_WRITE_ITEMS
            && let Some(next) =
                writes.next_if(|next| bytes + next.op.size() <= MAX_WRITE_GROUP_BYTES)
        {
            bytes += next.op.size();
            group.push(next);
        }
        Some((bytes, group))
    })
}

/// Runs a single operation.
async fn one(
    cx: &RequestContext<'_>,
    index: usize,
    run: impl Future<Output = Result<Reply>>,
) -> Replies {
    let reply = run.await;
    if reply.is_ok() {
        cx.made_progress();
    }
    vec![(index, reply)]
}

/// Items that are read in one request, and the operations that need them.
#[derive(Default)]
struct ReadGroup<'o> {
    items: Vec<PrimaryKey<'o>>,
    /// How many operations need each item.
    uses: Vec<usize>,
    /// The index of each operation in the batch, and of its item in `items`.
    reads: Vec<(usize, &'o Read, usize)>,
}

impl<'o> ReadGroup<'o> {
    fn push(&mut self, index: usize, op: &'o Read, item: PrimaryKey<'o>, item_index: usize) {
        if item_index == self.items.len() {
            self.items.push(item);
            self.uses.push(0);
        }
        self.uses[item_index] += 1;
        self.reads.push((index, op, item_index));
    }
}

async fn run_reads(cx: &RequestContext<'_>, flow: &FlowControl, group: ReadGroup<'_>) -> Replies {
    let ReadGroup { items, mut uses, reads } = group;
    if let [(i, op, _)] = reads[..] {
        return one(cx, i, single::read(cx, op)).await;
    }
    let mut found = read::batch_get(cx, flow, cx.reader(), read::is_consistent(cx), &items).await;
    let mut replies = Vec::with_capacity(reads.len());
    for (i, op, item_index) in reads {
        uses[item_index] -= 1;
        let item = match &mut found[item_index] {
            // The last use takes the item, the others clone it.
            Ok(item) if uses[item_index] == 0 => Ok(item.take()),
            Ok(item) => Ok(item.clone()),
            Err(e) => Err(e.clone()),
        };
        replies.push(match item {
            Ok(item) => (i, read::decode_reply(op, item)),
            Err(e) if may_concern_one_item(&e) => (i, single::read(cx, op).await),
            Err(e) => (i, Err(e)),
        });
    }
    replies
}

/// Whether the service may have rejected a group because of one of its items. Then each operation
/// is sent in a request of its own.
fn may_concern_one_item(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::TooLarge)
}

/// A write of one item without a condition, which `BatchWriteItem` can do.
struct UnconditionalWrite<'o> {
    index: usize,
    op: &'o Write,
    /// `None` once it was sent. A retry builds it again.
    request: Option<WriteRequest>,
    on_success: OnSuccess,
}

impl<'o> UnconditionalWrite<'o> {
    /// `None` if the write needs a request of its own.
    fn new(index: usize, op: &'o Write) -> Option<Self> {
        if matches!(op, Write::Delete(_)) {
            return None;
        }
        let Ok(NextRequest::Send(action, on_success)) = initial_request(op) else { return None };
        let Action { key, kind, condition: None, .. } = action else { return None };
        let request = WriteRequest::builder();
        let request = match kind {
            ActionKind::Put(item) => {
                request.put_request(PutRequest::builder().set_item(Some(item)).build().ok()?)
            }
            ActionKind::Delete { rk } => request.delete_request(delete(&key, &rk)?),
            _ => return None,
        };
        Some(UnconditionalWrite { index, op, request: Some(request.build()), on_success })
    }
}

impl GroupWrite for UnconditionalWrite<'_> {
    fn primary_key(&self) -> PrimaryKey<'_> {
        (self.op.key(), range_key(self.op))
    }
    fn request(&mut self) -> Option<WriteRequest> {
        self.request.take().or_else(|| UnconditionalWrite::new(self.index, self.op)?.request)
    }
}

async fn run_writes(cx: &RequestContext<'_>, mut group: Vec<UnconditionalWrite<'_>>) -> Replies {
    if let [UnconditionalWrite { index, op, .. }] = group[..] {
        return one(cx, index, single::write(cx, op)).await;
    }
    let results = write_group(cx, &mut group).await;
    let mut replies = Vec::with_capacity(group.len());
    for (UnconditionalWrite { index, op, on_success, .. }, result) in group.into_iter().zip(results)
    {
        replies.push(match result {
            Ok(()) => (index, on_success.into_reply(None)),
            Err(e) if may_concern_one_item(&e) => (index, single::write(cx, op).await),
            Err(e) => (index, Err(e)),
        });
    }
    replies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::op::*;

    fn get(key: &str) -> Op {
        Get::new(key).into()
    }
    fn set(key: &str) -> Op {
        Set::new(key, Value::default()).into()
    }
    fn zadd(key: &str, member: &str) -> Op {
        ZAdd::new(key, member.into(), Score::MAX).into()
    }

    #[test]
    fn operations_that_get_in_each_others_way_are_in_different_stages() {
        let (range, delete): (Op, Op) = (ZRange::new("z").into(), Delete::new("z").into());
        assert_eq!(stages(&[get("a"), get("a"), get("b")]), [vec![0, 1, 2]]);
        assert_eq!(
            stages(&[set("a"), get("a"), get("b"), set("a")]),
            [vec![0, 2], vec![1], vec![3]]
        );
        assert_eq!(stages(&[set("a"), set("b"), set("c")]), [vec![0, 1, 2]]);
        assert_eq!(
            stages(&[zadd("z", "a"), zadd("z", "b"), range.clone(), zadd("z", "c"), range.clone()]),
            [vec![0, 1], vec![2], vec![3], vec![4]]
        );
        assert_eq!(
            stages(&[zadd("z", "a"), delete, zadd("z", "b"), range, zadd("y", "a")]),
            [vec![0, 4], vec![1], vec![2], vec![3]]
        );
        assert!(stages(&[]).iter().all(Vec::is_empty));
    }
}
