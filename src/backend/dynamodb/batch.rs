//! Batches: what can be done at the same time, and in how few requests.

use super::action::{Action, Verb};
use super::call::{Again, Tries, Trip};
use super::flow::{Flow, Job, OF_GROUP, Size, at_once};
use super::items::primary;
use super::read::{self, GROUP, Primary, primary_of};
use super::write::{Done, Step, first, reply};
use super::{read_alone, rk_of, write_alone};
use crate::op::{Op, Read, Reply, Write};
use crate::{Error, ErrorKind, Result};
use aws_sdk_dynamodb::operation::batch_write_item::builders::BatchWriteItemInputBuilder;
use aws_sdk_dynamodb::types::{DeleteRequest, PutRequest, WriteRequest};
use std::collections::HashMap;

/// Of what a caller has named, for the time of a call.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// As many items are written in one request.
const WRITES: usize = 25;

type Replies = Vec<(usize, Result<Reply>)>;

pub(super) async fn batch(trip: &Trip<'_>, ops: &[Op]) -> Vec<Result<Reply>> {
    let mut replies: Vec<Option<Result<Reply>>> = ops.iter().map(|_| None).collect();
    let (narrow, flow) = (trip.narrow(), Flow::new());
    for stage in stages(ops) {
        let jobs = jobs(&narrow, &flow, ops, &stage);
        for (i, reply) in at_once(trip, &flow, jobs).await.into_iter().flatten() {
            replies[i] = Some(reply);
        }
    }
    let missing = || Err(Error::new(ErrorKind::Other, "the operation was left out"));
    replies.into_iter().map(|reply| reply.unwrap_or_else(missing)).collect()
}

/// When an item, or all of a key, has last been touched: 0 for never, else the number of the stage
/// after.
#[derive(Clone, Copy, Default)]
struct Touched {
    read: usize,
    written: usize,
}

/// What has touched a key.
#[derive(Clone, Copy, Default)]
struct OfKey {
    /// Operations on all of it.
    whole: Touched,
    /// Any operation.
    any: Touched,
}

/// The range key of the one item that an operation touches, if it is one, and whether it writes.
fn touched_by(op: &Op) -> (Option<&[u8]>, bool) {
    match op {
        Op::Read(op) => (read::item_of(op), false),
        Op::Write(Write::Delete(_)) => (None, true),
        Op::Write(op) => (Some(rk_of(op)), true),
    }
}

/// Cuts a batch into stages, one to be run after the other, such that no two operations of a stage
/// get in each other's way.
fn stages(ops: &[Op]) -> Vec<Vec<usize>> {
    if ops.iter().all(|op| matches!(op, Op::Read(_))) {
        return vec![(0..ops.len()).collect()];
    }
    // Mostly there is no operation on all of a key, and keys need not be looked at.
    let by_key = ops.iter().any(|op| touched_by(op).0.is_none());
    let mut keys: Map<&[u8], OfKey> = Map::default();
    let mut items: Map<Primary<'_>, Touched> = Map::default();
    items.reserve(ops.len());
    let (mut stages, mut nobody): (Vec<Vec<usize>>, _) = (Vec::new(), OfKey::default());
    for (i, op) in ops.iter().enumerate() {
        let key = if by_key { keys.entry(op.key()).or_default() } else { &mut nobody };
        let (rk, writes) = touched_by(op);
        let item = rk.map(|rk| items.entry((op.key(), rk)).or_default());
        let before = item.as_ref().map_or(key.any, |item| item.join(key.whole));
        let stage = if writes { before.read.max(before.written) } else { before.written };
        let now = if writes {
            Touched { read: 0, written: stage + 1 }
        } else {
            Touched { read: stage + 1, written: 0 }
        };
        key.any = key.any.join(now);
        let touched = item.unwrap_or(&mut key.whole);
        *touched = touched.join(now);
        if stage == stages.len() {
            stages.push(Vec::with_capacity(ops.len() - i));
        }
        stages[stage].push(i);
    }
    stages
}

impl Touched {
    fn join(self, other: Touched) -> Touched {
        Touched { read: self.read.max(other.read), written: self.written.max(other.written) }
    }
}

/// Makes requests of a stage: groups of what the service takes in groups, and the rest one by one.
fn jobs<'j>(
    trip: &'j Trip<'j>,
    flow: &'j Flow,
    ops: &'j [Op],
    stage: &[usize],
) -> Vec<Job<'j, Replies>> {
    let mut jobs: Vec<Job<'j, Replies>> = Vec::new();
    let mut places: Map<Primary<'j>, usize> = Map::default();
    let mut groups: Vec<ReadGroup<'j>> = Vec::new();
    let mut writes = Vec::with_capacity(stage.len());
    for &i in stage {
        match &ops[i] {
            Op::Read(op) => match read::item_of(op).filter(|rk| !read::is_nowhere(rk)) {
                Some(rk) => {
                    // One item is read once, whoever asks.
                    let (item, next) = ((&op.key()[..], rk), places.len());
                    let place = *places.entry(item).or_insert(next);
                    if place / GROUP == groups.len() {
                        groups.push(ReadGroup::default());
                    }
                    groups[place / GROUP].ask(i, op, item, place % GROUP);
                }
                None => jobs.push(Job::new(Size::Bytes(0), alone(trip, i, read_alone(trip, op)))),
            },
            Op::Write(op) => match Grouped::new(i, op) {
                Some(grouped) => writes.push(grouped),
                None => {
                    let write = alone(trip, i, write_alone(trip, op));
                    jobs.push(Job::new(Size::Bytes(op.size()), write));
                }
            },
        }
    }
    let reads = groups.into_iter();
    jobs.extend(reads.map(|group| Job::new(Size::Items, read_group(trip, flow, group))));
    let mut writes = writes.into_iter().peekable();
    while let Some(first) = writes.next() {
        let (mut bytes, mut group) = (first.op.size(), vec![first]);
        while group.len() < WRITES
            && let Some(next) = writes.next_if(|next| bytes + next.op.size() <= OF_GROUP)
        {
            bytes += next.op.size();
            group.push(next);
        }
        jobs.push(Job::new(Size::Bytes(bytes), write_group(trip, group)));
    }
    jobs
}

/// One operation by itself.
async fn alone(trip: &Trip<'_>, at: usize, run: impl Future<Output = Result<Reply>>) -> Replies {
    let reply = run.await;
    if reply.is_ok() {
        trip.made_progress();
    }
    vec![(at, reply)]
}

/// Different items that are read together, and who asks for them.
#[derive(Default)]
struct ReadGroup<'o> {
    items: Vec<Primary<'o>>,
    /// How many ask for each.
    askers: Vec<usize>,
    /// The operations, and which of the items each asks for.
    reads: Vec<(usize, &'o Read, usize)>,
}

impl<'o> ReadGroup<'o> {
    fn ask(&mut self, at: usize, op: &'o Read, item: Primary<'o>, place: usize) {
        if place == self.items.len() {
            self.items.push(item);
            self.askers.push(0);
        }
        self.askers[place] += 1;
        self.reads.push((at, op, place));
    }
}

async fn read_group(trip: &Trip<'_>, flow: &Flow, group: ReadGroup<'_>) -> Replies {
    let ReadGroup { items, mut askers, reads } = group;
    if let [(i, op, _)] = reads[..] {
        return alone(trip, i, read_alone(trip, op)).await;
    }
    let mut found = read::group(trip, flow, trip.reader(), read::is_strong(trip), &items).await;
    let mut replies = Vec::with_capacity(reads.len());
    for (i, op, place) in reads {
        askers[place] -= 1;
        let item = match &mut found[place] {
            // The last one who asks may have it.
            Ok(item) if askers[place] == 0 => Ok(item.take()),
            Ok(item) => Ok(item.clone()),
            Err(e) => Err(e.clone()),
        };
        replies.push(match item {
            Ok(item) => (i, read::answer(op, item)),
            // One key that the service refuses makes it refuse the others: each for itself, then.
            Err(e) if is_of_one(&e) => (i, read_alone(trip, op).await),
            Err(e) => (i, Err(e)),
        });
    }
    replies
}

/// Whether a group may have been refused for one of its items.
fn is_of_one(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::TooLarge)
}

/// A write that goes into a group: without a condition, and of one item.
struct Grouped<'o> {
    at: usize,
    op: &'o Write,
    /// Taken when it is sent; made again if it has to be sent again.
    request: Option<WriteRequest>,
    done: Done,
}

impl<'o> Grouped<'o> {
    /// `None` if the write has to be a request of its own.
    fn new(at: usize, op: &'o Write) -> Option<Self> {
        if matches!(op, Write::Delete(_)) {
            return None;
        }
        let Ok(Step::Do(action, done)) = first(op) else { return None };
        let Action { key, verb, condition: None, .. } = action else { return None };
        let request = WriteRequest::builder();
        let request = match verb {
            Verb::Put(item) => {
                request.put_request(PutRequest::builder().set_item(Some(item)).build().ok()?)
            }
            Verb::Delete { rk } => request.delete_request(delete(&key, &rk)?),
            _ => return None,
        };
        Some(Grouped { at, op, request: Some(request.build()), done })
    }
}

fn delete(key: &[u8], rk: &[u8]) -> Option<DeleteRequest> {
    DeleteRequest::builder().set_key(Some(primary(key, rk))).build().ok()
}

/// A change to an item without a condition, which can be made into a request more than once.
trait Change: Send {
    fn item(&self) -> Primary<'_>;
    fn request(&mut self) -> Option<WriteRequest>;
}

impl Change for Grouped<'_> {
    fn item(&self) -> Primary<'_> {
        (self.op.key(), rk_of(self.op))
    }
    fn request(&mut self) -> Option<WriteRequest> {
        self.request.take().or_else(|| Grouped::new(self.at, self.op)?.request)
    }
}

/// To remove the item of a member of a sorted set.
impl Change for (&[u8], Vec<u8>) {
    fn item(&self) -> Primary<'_> {
        (self.0, &self.1)
    }
    fn request(&mut self) -> Option<WriteRequest> {
        Some(WriteRequest::builder().delete_request(delete(self.0, &self.1)?).build())
    }
}

async fn write_group(trip: &Trip<'_>, mut group: Vec<Grouped<'_>>) -> Replies {
    if let [Grouped { at, op, .. }] = group[..] {
        return alone(trip, at, write_alone(trip, op)).await;
    }
    let written = write(trip, &mut group).await;
    let mut replies = Vec::with_capacity(group.len());
    for (Grouped { at, op, done, .. }, written) in group.into_iter().zip(written) {
        replies.push(match written {
            Ok(()) => (at, reply(done, None)),
            // One item that the service refuses makes it refuse the others: each for itself, then.
            Err(e) if is_of_one(&e) => (at, write_alone(trip, op).await),
            Err(e) => (at, Err(e)),
        });
    }
    replies
}

/// Removes members of a sorted set, any number of them. What was refused for now, such as for want
/// of capacity, is tried again for as long as others get through.
pub(super) async fn remove_all(trip: &Trip<'_>, key: &[u8], members: Vec<Vec<u8>>) -> Result<()> {
    let mut left: Vec<_> = members.into_iter().map(|rk| (key, rk)).collect();
    let (flow, mut tries) = (Flow::new(), Tries::default());
    loop {
        let before = left.len();
        let (mut groups, mut rest) = (Vec::new(), left.into_iter().peekable());
        while rest.peek().is_some() {
            let mut group: Vec<_> = rest.by_ref().take(WRITES).collect();
            let run = async move { (write(trip, &mut group).await, group) };
            groups.push(Job::new(Size::Bytes(0), run));
        }
        let (mut again, mut last) = (Vec::new(), None);
        for (written, group) in at_once(trip, &flow, groups).await {
            for (written, member) in written.into_iter().zip(group) {
                match written {
                    Ok(()) => {}
                    Err(e) if e.is_retryable() && !e.outcome_is_unknown() => {
                        again.push(member);
                        last = Some(e);
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        let Some(error) = last else { return Ok(()) };
        if again.len() < before {
            tries = Tries::default();
        }
        if !trip.outwait(&mut tries, error.kind()).await {
            return Err(error);
        }
        left = again;
    }
}

/// Makes up to [`WRITES`] changes to different items in one request and what that leaves over;
/// answers in their order.
async fn write<C: Change>(trip: &Trip<'_>, changes: &mut [C]) -> Vec<Result<()>> {
    let mut written: Vec<Result<()>> = changes.iter().map(|_| Ok(())).collect();
    let (api, mut tries) = (trip.writer(), Tries::default());
    // The places of what has not been written.
    let mut open: Vec<usize> = (0..changes.len()).collect();
    while !open.is_empty() {
        let before = open.len();
        let write = || {
            let requests: Vec<_> = open.iter().filter_map(|i| changes[*i].request()).collect();
            api.batch_write_item(
                BatchWriteItemInputBuilder::default()
                    .request_items(trip.table(), requests)
                    .set_return_consumed_capacity(trip.capacity()),
            )
        };
        match trip.send("BatchWriteItem", Again::Unsafe, write).await {
            Ok(output) => {
                let left = output.unprocessed_items.into_iter().flatten();
                let place = |request: WriteRequest| {
                    let item = item_of(&request)?;
                    changes.iter().position(|change| change.item() == item)
                };
                open = left.flat_map(|(_, requests)| requests).filter_map(place).collect();
                if open.len() < before {
                    trip.made_progress();
                }
            }
            Err(e) => {
                let error = trip.write_error(e);
                open.iter().for_each(|i| written[*i] = Err(error.clone()));
                break;
            }
        }
        if !open.is_empty() && !trip.go_on(&mut tries, open.len() < before).await {
            let error = trip.throttled("DynamoDB left the write unprocessed");
            open.iter().for_each(|i| written[*i] = Err(error.clone()));
            break;
        }
    }
    written
}

/// The item that a request is about.
fn item_of(request: &WriteRequest) -> Option<Primary<'_>> {
    match (&request.put_request, &request.delete_request) {
        (Some(put), _) => primary_of(put.item()),
        (None, Some(delete)) => primary_of(delete.key()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::op::Score;
    use crate::op::*;

    fn cut(ops: &[Op]) -> Vec<Vec<usize>> {
        stages(ops)
    }
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
        assert_eq!(cut(&[get("a"), get("a"), get("b")]), [vec![0, 1, 2]]);
        assert_eq!(cut(&[set("a"), get("a"), get("b"), set("a")]), [vec![0, 2], vec![1], vec![3]]);
        assert_eq!(cut(&[set("a"), set("b"), set("c")]), [vec![0, 1, 2]]);
        assert_eq!(
            cut(&[zadd("z", "a"), zadd("z", "b"), range.clone(), zadd("z", "c"), range.clone()]),
            [vec![0, 1], vec![2], vec![3], vec![4]]
        );
        assert_eq!(
            cut(&[zadd("z", "a"), delete, zadd("z", "b"), range, zadd("y", "a")]),
            [vec![0, 4], vec![1], vec![2], vec![3]]
        );
        assert!(cut(&[]).iter().all(Vec::is_empty));
    }
}
