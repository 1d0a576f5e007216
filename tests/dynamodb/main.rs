//! The DynamoDB backend: what a call costs there, and what is left when the service, the network and others fail it.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

#[path = "../support/mod.rs"]
mod support;
