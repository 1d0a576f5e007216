//! `cargo xtask users`: generates `examples/users/users.jsonl`, 10,000 invented users for the
//! example `users`.
//!
//! The output is always the same: the seed is fixed, and `Cargo.lock` pins the random number
//! generator. About 6% of the users cannot be added, because an earlier user has the same username,
//! address or id. Each user is in at most one collision. So the counts do not depend on which of
//! the two is added first when users are added concurrently.

mod names;
mod text;

use fastrand::Rng;
use names::{CULTURES, Culture};
use std::collections::HashSet;
use std::path::Path;
use text::{ascii, quote};

const SEED: u64 = 20_090_403;
const USERS: usize = 10_000;
/// The number of users that collide with an earlier one, by kind.
const COLLISIONS: [(Clash, usize); 4] =
    [(Clash::Username, 300), (Clash::Address, 200), (Clash::Both, 100), (Clash::Id, 20)];
/// The number of users at the start without a collision.
const HEAD: usize = 1_000;

/// Host names that are reserved for examples.
const HOSTS: [&str; 12] = [
    "example.com",
    "example.org",
    "example.net",
    "mail.example.com",
    "post.example.org",
    "students.example.net",
    "inbox.example",
    "letterbox.example",
    "pigeon.example",
    "uni.north.example",
    "home.cable.example",
    "staff.library.example",
];

const ABOUT: [&str; 12] = [
    "Keeps bees on the roof.",
    "Says \"tomorrow\" and means next week.",
    "Reads maps for pleasure.",
    "Sings alto in two choirs, and bass in none.",
    "Collects tickets of trams that no longer run.",
    "Has opinions about fonts; ask only if you have an hour.",
    "Notes are in C:\\drafts\\new, or were.",
    "Bakes on Sundays.\nTakes orders on Saturdays.",
    "Likes: chess, cycling, crosswords.\tDislikes: lists.",
    "Mends radios — the kind with valves.",
    "Learning the cello « à mon âge ».",
    "Speaks to the cat in one language and to the dog in another.",
];

#[derive(Clone, Copy, PartialEq)]
enum Clash {
    None,
    Username,
    Address,
    Both,
    Id,
}

struct User {
    id: String,
    username: String,
    email_address: String,
    rest: String,
}

pub(crate) fn run() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/users/users.jsonl");
    std::fs::write(path, users())
}

fn users() -> String {
    let mut maker = Maker { rng: Rng::with_seed(SEED), taken: HashSet::new() };
    let mut users: Vec<User> = Vec::with_capacity(USERS);
    // The users without a collision so far.
    let mut alone: Vec<usize> = Vec::new();
    for clash in clashes(&mut maker.rng) {
        let mut user = maker.user();
        if clash == Clash::None {
            alone.push(users.len());
        } else {
            let other = alone.swap_remove(maker.rng.usize(..alone.len()));
            maker.collide(&mut user, &users[other], clash);
        }
        users.push(user);
    }
    users.iter().map(line).collect()
}

/// The kind of collision of each user, in random order, as often as `COLLISIONS` sets.
fn clashes(rng: &mut Rng) -> Vec<Clash> {
    let mut clashes = vec![Clash::None; USERS];
    let mut at = HEAD;
    for (clash, n) in COLLISIONS {
        clashes[at..at + n].fill(clash);
        at += n;
    }
    rng.shuffle(&mut clashes[HEAD..]);
    clashes
}

fn line(user: &User) -> String {
    format!(
        "{{\"id\":{},\"username\":{},\"email_address\":{},{}}}\n",
        quote(&user.id),
        quote(&user.username),
        quote(&user.email_address),
        user.rest
    )
}

struct Maker {
    rng: Rng,
    /// All ids, usernames and addresses so far, in lower case.
    taken: HashSet<String>,
}

impl Maker {
    fn user(&mut self) -> User {
        let culture = self.pick(CULTURES);
        let (given, given_ascii) = written(self.pick(culture.given));
        let (family, family_ascii) = written(self.pick(culture.family));
        let display_name = self.display_name(culture, given, family);
        let username = match self.rng.u32(..100) {
            0 => self.unique(|rng, _| native_username(rng, given, family)),
            _ => self.unique(|rng, n| username(rng, &given_ascii, &family_ascii, n)),
        };
        let email_address = self.unique(|rng, n| address(rng, &given_ascii, &family_ascii, n));
        let rest = self.rest(culture, &display_name);
        User { id: self.unique(|rng, _| id(rng)), username, email_address, rest }
    }

    fn collide(&mut self, user: &mut User, other: &User, clash: Clash) {
        if matches!(clash, Clash::Username | Clash::Both) {
            user.username = self.in_some_case(&other.username);
        }
        if matches!(clash, Clash::Address | Clash::Both) {
            user.email_address = self.in_some_case(&other.email_address);
        }
        if clash == Clash::Id {
            user.id.clone_from(&other.id);
        }
    }

    /// The same text, often in another case. Only ASCII letters change, because other letters, such
    /// as `ß`, may not convert back.
    fn in_some_case(&mut self, text: &str) -> String {
        match self.rng.u32(..4) {
            0 => text.to_ascii_uppercase(),
            1 => capitalised(text),
            _ => text.to_owned(),
        }
    }

    fn display_name(&mut self, culture: &Culture, given: &str, family: &str) -> String {
        if culture.family_first {
            // Latin names are separated by a space, Chinese and Korean ones are not.
            let space = if family.chars().all(|c| c < '\u{2000}') { " " } else { "" };
            return format!("{family}{space}{given}");
        }
        match self.rng.u32(..150) {
            0 => {
                format!("{given} \"{}\" {family}", self.pick(&["Ace", "Kit", "Sunny", "Half-Past"]))
            }
            1 => format!("Dr. {given} {}-{family}", written(self.pick(culture.family)).0),
            _ => format!("{given} {family}"),
        }
    }

    /// The fields that the example does not use.
    fn rest(&mut self, culture: &Culture, display_name: &str) -> String {
        let city = self.pick(culture.cities);
        let (year, month) = (self.rng.u32(2009..2026), self.rng.u32(1..13));
        let day = self.rng.u32(1..29);
        let second = if self.rng.u32(..3) == 0 { ",\"en-GB\"" } else { "" };
        let mut rest = format!(
            "\"display_name\":{},\"city\":{},\"joined\":\"{year}-{month:02}-{day:02}\",\
             \"languages\":[\"{}\"{second}],\"newsletter\":{}",
            quote(display_name),
            quote(city),
            culture.language,
            self.rng.bool()
        );
        let sentences = match self.rng.u32(..400) {
            0 => 30,
            1..20 => self.rng.usize(1..4),
            _ => 0,
        };
        if sentences > 0 {
            let about: Vec<&str> = (0..sentences).map(|_| self.pick(&ABOUT)).collect();
            rest += &format!(",\"about\":{}", quote(&about.join(" ")));
        }
        rest
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }

    /// Calls `make` with the number of the attempt until it returns a text that is not taken.
    fn unique(&mut self, mut make: impl FnMut(&mut Rng, u32) -> String) -> String {
        for attempt in 0.. {
            let text = make(&mut self.rng, attempt);
            if self.taken.insert(text.to_lowercase()) {
                return text;
            }
        }
        unreachable!("later attempts use larger numbers")
    }
}

/// A name from `names.rs`: its spelling, and its spelling in a username.
fn written(name: &str) -> (&str, String) {
    match name.split_once('/') {
        Some((native, latin)) => (native, latin.to_owned()),
        None => (name, ascii(name)),
    }
}

fn capitalised(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

fn id(rng: &mut Rng) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    (0..12).map(|_| char::from(DIGITS[rng.usize(..32)])).collect()
}

fn username(rng: &mut Rng, given: &str, family: &str, attempt: u32) -> String {
    let number = rng.u32(1..10_u32.pow(2 + attempt.min(5)));
    let initial = given.get(..1).unwrap_or_default();
    match rng.u32(..12) {
        0..4 => format!("{initial}{family}{number}"),
        4 => format!("{given}.{family}"),
        5 => format!("{given}_{family}{number}"),
        6 => format!("{family}{initial}"),
        7 => format!("{given}{number:02}"),
        8 => format!("{}{}", capitalised(given), capitalised(family)),
        9 => format!("{}{}{number}", capitalised(initial), capitalised(family)),
        10 => format!("{family}-{given}-{number}"),
        _ => format!("the.{given}.{family}.of.{}", 1950 + rng.u32(..60)),
    }
}

fn native_username(rng: &mut Rng, given: &str, family: &str) -> String {
    let [given, family] = [given, family].map(|name| name.replace(' ', "").to_lowercase());
    format!("{given}.{family}{}", rng.u32(1..1_000))
}

fn address(rng: &mut Rng, given: &str, family: &str, attempt: u32) -> String {
    let host = HOSTS[rng.usize(..HOSTS.len())];
    let number = rng.u32(1..10_u32.pow(2 + attempt.min(5)));
    let initial = given.get(..1).unwrap_or_default();
    match rng.u32(..6) {
        0 => format!("{given}.{family}@{host}"),
        1 => format!("{}.{}{number}@{host}", capitalised(given), capitalised(family)),
        2 => format!("{initial}{family}{number}@{host}"),
        3 => format!("{given}+news{number}@{host}"),
        4 => format!("{family}.{initial}.{number}@{host}"),
        _ => format!("{given}{number}@{host}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shipped_file_is_what_the_generator_makes() {
        // Not `assert_eq`, which would print both.
        assert!(super::users() == include_str!("../../examples/users/users.jsonl"));
    }
}
