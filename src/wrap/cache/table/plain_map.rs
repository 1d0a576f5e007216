//! [`PlainMap`]: a test double, the simplest [`Table`]. A map behind a mutex, without bound or time
//! to live, in which a reply only answers its own read.

use super::Table;
use crate::Key;
use crate::backend::Consistency;
use crate::op::{Read, Reply};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

#[derive(Default)]
pub(in crate::wrap::cache) struct PlainMap(Mutex<HashMap<(Consistency, Read), Reply>>);

impl PlainMap {
    pub(in crate::wrap::cache) fn contains(&self, key: &Key) -> bool {
        self.0.lock().unwrap().keys().any(|(_, read)| read.key() == key)
    }
    pub(in crate::wrap::cache) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Table for PlainMap {
    fn get(&self, consistency: Consistency, read: &Read) -> Option<Reply> {
        let map = self.0.lock().unwrap();
        let strong = map.get(&(Consistency::Strong, read.clone()));
        strong.or_else(|| map.get(&(consistency, read.clone()))).cloned()
    }
    fn insert(&self, consistency: Consistency, read: &Read, reply: &Reply, _: Option<Instant>) {
        self.0.lock().unwrap().insert((consistency, read.clone()), reply.clone());
    }
    fn invalidate(&self, key: &Key, _: Option<Instant>) {
        self.0.lock().unwrap().retain(|(_, read), _| read.key() != key);
    }
    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}
