//! `Trace`: what a subscriber of the facade `tracing` receives.

use super::now;
use super::parking_backend::ParkingBackend;
use keyvaluestore::wrap::Trace;
use keyvaluestore::{ErrorKind, Store};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Visit for &Notes {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.lock().unwrap().push(format!("{field}={value:?}"));
    }
}
impl Subscriber for Notes {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.lock().unwrap().push(span.metadata().name().into());
        span.record(&mut &*self);
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut &*self);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_call_is_a_span_that_tells_keys_only_if_asked_for() {
    for keys in [false, true] {
        let notes = Notes::default();
        tracing::subscriber::with_default(notes.clone(), || {
            let backend = ParkingBackend::default();
            let trace = Trace::new(backend.clone(), "memory");
            let store = Store::new(if keys { trace.with_keys() } else { trace });
            backend.fail(ErrorKind::Timeout);
            now(store.set("secret key", "secret value")).unwrap_err();
            let mut batch = store.batch();
            batch.get("secret key");
            batch.get("other");
            drop(now(batch.exec()).unwrap());
            let mut batch = store.batch();
            batch.get("one alone is no batch");
            drop(now(batch.exec()).unwrap());
        });
        let recorded = notes.0.lock().unwrap().join(" ");
        for part in [
            "db.call",
            "db.system.name=\"memory\"",
            "db.operation.name=\"set\"",
            "error.type=\"timeout\"",
            "db.operation.batch.size=2",
        ] {
            assert!(recorded.contains(part), "{recorded}");
        }
        assert_eq!(recorded.matches("batch.size").count(), 1, "{recorded}");
        assert_eq!(recorded.contains("secret key"), keys, "{recorded}");
        assert!(!recorded.contains("secret value"), "{recorded}");
    }
}
