//! The table of operations and the payloads agree.

use super::*;
use std::collections::BTreeSet;

#[test]
fn every_name_stands_in_the_table_once() {
    for (i, name) in NAMES.iter().enumerate() {
        assert_eq!(index_of_name(name), Some(i), "{name}");
    }
    assert_eq!(index_of_name("getall"), None);
}

/// A payload could have a name that its entry does not list.
#[test]
fn every_name_that_an_operation_can_have_stands_in_its_line() {
    let reads: BTreeSet<_> = examples::reads().iter().map(Read::name).collect();
    assert_eq!(reads, READ_NAMES.iter().copied().collect());
    let mut writes: BTreeSet<_> = examples::writes().iter().map(Write::name).collect();
    // `delete_xx` reports the name `delete`. Only its method has this name.
    writes.insert("delete_xx");
    assert_eq!(writes, WRITE_NAMES.iter().copied().collect());
}
