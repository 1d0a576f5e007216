//! The directory of users: what an application keeps in the store, and how.
//!
//! ```text
//! user:{id}                         string        the user as JSON
//! user_by_username:{username}       string        whose it is: one username, one id
//! user_by_email_address:{address}   string        whose it is: one address, one id
//! usernames                         sorted hash   username -> id, all scores 0: sorted by username
//! ```
//!
//! A user is in all four or in none, because [`Directory::add`] writes them together. Usernames and
//! addresses are compared in lower case, which is how they stand in keys and fields; the user's own
//! spelling is in the JSON. (Lower case is enough here. Where names come from the whole world, also
//! normalize Unicode.)

use keyvaluestore::{Error, ErrorKind, Json, Outcome, Result, Store};
use serde::{Deserialize, Serialize};
use std::ops::Bound;

const USERNAMES: &str = "usernames";

/// A user. The directory needs three fields and keeps all that it is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) email_address: String,
    #[serde(flatten)]
    pub(crate) rest: serde_json::Map<String, serde_json::Value>,
}

impl User {
    /// The username as it is compared and sorted.
    pub(crate) fn sort_name(&self) -> String {
        self.username.to_lowercase()
    }
}

/// What is unique and already belongs to another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InUse {
    Id,
    Username,
    EmailAddress,
    UsernameAndEmailAddress,
}

/// Why a user was not added.
#[derive(Debug)]
pub(crate) enum AddError {
    InUse(InUse),
    /// The store will not take this user, whose name is too long, say. Others may do better.
    BadUser(Error),
    /// The store failed.
    Store(Error),
}

impl From<Error> for AddError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidArgument | ErrorKind::TooLarge => AddError::BadUser(error),
            _ => AddError::Store(error),
        }
    }
}

/// Users in a [`Store`], whichever backend that has.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    store: Store,
}

impl Directory {
    pub(crate) fn new(store: Store) -> Self {
        Directory { store }
    }

    /// Adds `user` if its id, username and email address are free. One round trip.
    pub(crate) async fn add(&self, user: &User) -> Result<(), AddError> {
        let mut tx = self.store.atomic_write();
        let id = tx.set_nx(user_key(&user.id), Json(user));
        let username = tx.set_nx(username_key(&user.username), &user.id);
        let address = tx.set_nx(email_address_key(&user.email_address), &user.id);
        tx.zhadd(USERNAMES, user.sort_name(), &user.id, 0.0);

        // Every condition that failed is told, not only the first.
        let Outcome::ConditionFailed(failed) = tx.exec().await? else { return Ok(()) };
        Err(AddError::InUse(match (failed.contains(username), failed.contains(address)) {
            _ if failed.contains(id) => InUse::Id,
            (true, true) => InUse::UsernameAndEmailAddress,
            (true, false) => InUse::Username,
            (false, _) => InUse::EmailAddress,
        }))
    }

    pub(crate) async fn by_id(&self, id: &str) -> Result<Option<User>> {
        let Some(value) = self.store.get(user_key(id)).await? else { return Ok(None) };
        let Json(user) = value.to()?;
        Ok(Some(user))
    }

    pub(crate) async fn by_username(&self, username: &str) -> Result<Option<User>> {
        self.by_index(username_key(username)).await
    }

    pub(crate) async fn by_email_address(&self, address: &str) -> Result<Option<User>> {
        self.by_index(email_address_key(address)).await
    }

    /// Two round trips: whose key it is, then the user.
    async fn by_index(&self, key: String) -> Result<Option<User>> {
        match self.store.get(key).await? {
            Some(id) => self.by_id(id.as_str()?).await,
            None => Ok(None),
        }
    }

    /// The users with these ids, in that order, without the ids that nobody has. One round trip for
    /// all.
    pub(crate) async fn by_ids(&self, ids: &[String]) -> Result<Vec<User>> {
        let mut batch = self.store.batch();
        let gets: Vec<_> = ids.iter().map(|id| batch.get(user_key(id))).collect();
        let mut replies = batch.exec().await?;

        let mut users = Vec::with_capacity(ids.len());
        for get in gets {
            if let Some(value) = replies.take(get)? {
                let Json(user) = value.to()?;
                users.push(user);
            }
        }
        Ok(users)
    }

    /// The first `limit` users after the username `after`, or from the start, in the order of their
    /// usernames.
    pub(crate) async fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>> {
        let values = self.store.zhrange(USERNAMES).by_lex(behind(after)).limit(limit).await?;
        let ids: Vec<String> = values.iter().map(|id| id.to()).collect::<Result<_>>()?;
        self.by_ids(&ids).await
    }

    /// The usernames of [`page`](Self::page), in lower case, without reading the users.
    pub(crate) async fn usernames(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let names = self.store.zrange(USERNAMES).by_lex(behind(after)).limit(limit).await?;
        names.iter().map(|name| name.to()).collect()
    }

    /// How many users there are.
    pub(crate) async fn count(&self) -> Result<u64> {
        self.store.zcount(USERNAMES, ..).await
    }
}

fn user_key(id: &str) -> String {
    format!("user:{id}")
}

fn username_key(username: &str) -> String {
    format!("user_by_username:{}", username.to_lowercase())
}

fn email_address_key(address: &str) -> String {
    format!("user_by_email_address:{}", address.to_lowercase())
}

/// The range behind a username. Pages that each start behind the last name of the one before repeat
/// nobody, and miss nobody who was there from the beginning, also while users are added.
fn behind(after: Option<&str>) -> (Bound<String>, Bound<String>) {
    let start = after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.to_lowercase()));
    (start, Bound::Unbounded)
}
