//! Servers for the tests: found, started on a free loopback port or socket, and stopped with the test.

#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::panic, reason = "this is test code")]

pub(crate) mod redis;

/// Whether the run has to fail where `server` is missing: `KVS_REQUIRE` names servers, separated by commas.
pub(crate) fn required(server: &str) -> bool {
    std::env::var("KVS_REQUIRE").is_ok_and(|names| names.split(',').any(|name| name == server))
}
