//! The example, run as a process like anybody would run it.

#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
mod support;

use keyvaluestore::{Embedded, Store};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/users.jsonl");

fn example() -> Command {
    Command::new(env!("CARGO_BIN_EXE_users"))
}

fn run(args: &[&str]) -> Output {
    example().args(args).output().expect("the example starts")
}

fn run_on(input: &[u8], command: &mut Command) -> Output {
    let pipe = Stdio::piped;
    let command = command.args(["--file", "-"]).stdin(pipe()).stdout(pipe()).stderr(pipe());
    let mut child = command.spawn().expect("the example starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input).expect("the example reads everything");
    drop(stdin);
    child.wait_with_output().expect("the example ends")
}

/// The first number behind `label` in what a successful run has printed.
fn figure(output: &Output, label: &str) -> usize {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", stderr(output));
    let found = text.lines().find_map(|line| line.trim_start().strip_prefix(label));
    let number = found.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    let number = number.replace(',', "").parse().ok();
    assert!(number.is_some(), "no number for {label} in:\n{text}");
    number.unwrap_or_default()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What should become of users that are added one after another.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    read: usize,
    added: usize,
    username: usize,
    address: usize,
    both: usize,
    id: usize,
    skipped: usize,
}

impl Figures {
    fn told_by(output: &Output) -> Self {
        Figures {
            read: figure(output, "users read"),
            added: figure(output, "added"),
            username: figure(output, "username in use"),
            address: figure(output, "address in use"),
            both: figure(output, "both in use"),
            id: figure(output, "id in use"),
            skipped: figure(output, "skipped"),
        }
    }
    /// What the last of `runs` runs in a row over the same store should tell.
    fn expected(users: &[Value], runs: usize) -> Self {
        let mut taken = <[HashSet<String>; 3]>::default();
        let mut last = Figures::default();
        for _ in 0..runs {
            last = Figures { read: users.len(), ..Figures::default() };
            users.iter().for_each(|user| last.add(user, &mut taken));
        }
        last
    }
    fn add(&mut self, user: &Value, taken: &mut [HashSet<String>; 3]) {
        let keys = [text(user, "id"), lower(user, "username"), lower(user, "email_address")];
        match std::array::from_fn(|i| taken[i].contains(&keys[i])) {
            [true, _, _] => self.id += 1,
            [false, true, true] => self.both += 1,
            [false, true, false] => self.username += 1,
            [false, false, true] => self.address += 1,
            [false, false, false] => {
                self.added += 1;
                for (set, key) in taken.iter_mut().zip(keys) {
                    set.insert(key);
                }
            }
        }
    }
}

fn text(user: &Value, field: &str) -> String {
    user[field].as_str().expect("a text").to_owned()
}

fn lower(user: &Value, field: &str) -> String {
    text(user, field).to_lowercase()
}

fn shipped() -> Vec<Value> {
    let text = std::fs::read_to_string(SHIPPED).expect("the file is there");
    text.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
}

fn json_lines(users: &[Value]) -> Vec<u8> {
    users.iter().flat_map(|user| format!("{user}\n").into_bytes()).collect()
}

#[test]
fn the_shipped_users_are_added_or_refused_as_they_should_be() {
    let expected = Figures::expected(&shipped(), 1);
    for concurrency in ["1", "64", "20000"] {
        let output = run(&["--store", "memory:", "--concurrency", concurrency]);
        assert_eq!(Figures::told_by(&output), expected, "{concurrency} at once");
        assert_eq!(figure(&output, "add "), 10_000);
        assert_eq!(figure(&output, "list "), expected.added);
        for phase in ["by username", "by address", "by id, one batch"] {
            assert_eq!(figure(&output, phase), 1_000, "{phase}");
        }
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn the_shipped_users_collide_as_often_as_they_are_meant_to() {
    let expected = Figures {
        read: 10_000,
        added: 9_380,
        username: 300,
        address: 200,
        both: 100,
        id: 20,
        skipped: 0,
    };
    assert_eq!(Figures::expected(&shipped(), 1), expected);
    let names = shipped();
    assert!(names.iter().any(|user| !text(user, "username").is_ascii()));
    assert!(names.iter().any(|user| text(user, "display_name").contains('"')));
    for user in &names {
        let host = text(user, "email_address").to_lowercase();
        let reserved = ["example.com", "example.org", "example.net", ".example"];
        assert!(reserved.iter().any(|end| host.ends_with(end)), "{host} may be somebody's");
    }
}

#[test]
fn a_bad_line_is_reported_by_its_number_and_the_others_are_added() {
    let long = json!({"id": "9", "username": "x".repeat(1_017), "email_address": "x@example.com"});
    let lines: [(&[u8], &str); 10] = [
        (br#"{"id":"1","username":"one","email_address":"one@example.com"}"#, ""),
        (br#"{"id":"2","username":"two","email_"#, "EOF while parsing a string at column"),
        (br#"{"id":"3","email_address":"three@example.com"}"#, "missing field `username`"),
        (b"  ", ""),
        (br#"{"id":"5","username":" ","email_address":"five@example.com"}"#, "`username` is empty"),
        (br#"{"id":"6","username":"six","email_address":"six"}"#, "not of the form name@host"),
        (b"{\"id\":\"7\",\"username\":\"\xff\"}", "invalid unicode"),
        (br#"["8","eight","eight@example.com"]"#, "invalid type: sequence"),
        (&long.to_string().into_bytes(), "1017 bytes, and 1016 is the limit"),
        (b"{\"id\":\"10\",\"username\":\"ten\",\"email_address\":\"ten@example.com\"}\r", ""),
    ];
    let input: Vec<&[u8]> = lines.iter().map(|(line, _)| *line).collect();
    let output = run_on(&input.join(&b'\n'), example().args(["--store", "memory:"]));

    let told = Figures::told_by(&output);
    assert_eq!(told, Figures { read: 9, added: 2, skipped: 7, ..Figures::default() });
    let stderr = stderr(&output);
    let mut complaints = stderr.lines();
    for (number, (_, says)) in (1..).zip(lines).filter(|(_, (_, says))| !says.is_empty()) {
        let complaint = complaints.next().unwrap_or_default();
        assert!(complaint.starts_with(&format!("line {number}: ")), "{stderr}");
        assert!(complaint.contains(says), "{complaint} does not say {says}");
    }
    assert_eq!(complaints.next(), None);
}

#[test]
fn no_users_at_all_are_no_failure() {
    let output = run_on(b"", example().args(["--store", "memory:"]));
    assert_eq!(Figures::told_by(&output), Figures::default());
    assert_eq!(figure(&output, "list "), 0);
}

#[test]
fn what_cannot_be_opened_ends_the_run_with_one_line_that_says_why() {
    for (args, says) in [
        (["--file", "no-such-file.jsonl"], "no-such-file.jsonl cannot be read: caused by "),
        (
            ["--store", "mongodb://u:secret@host"],
            "caused by open: the scheme `mongodb:` is not known",
        ),
        (["--store", "file:no-such-directory/users.kvs"], "the store cannot be opened: caused by "),
    ] {
        let output = run(&args);
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(says), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_second_run_over_the_same_file_adds_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.kvs");
    let url = format!("file:{}", path.display());
    // Enough for two pages, and for some of the collisions.
    let users = &shipped()[..1_500];
    for runs in 1..=2 {
        let output = run_on(&json_lines(users), example().args(["--store", &url]));
        let (told, expected) = (Figures::told_by(&output), Figures::expected(users, runs));
        assert_eq!(told, expected);
        assert_eq!(figure(&output, "list "), Figures::expected(users, 1).added);
        assert_eq!(told.added == 0, runs == 2);
    }
    look_into(&path, users);
}

/// Checks what the example has left in the file: every user as it was read, fields that the example
/// does not know included, under the keys that its documentation names.
#[tokio::main]
async fn look_into(path: &Path, users: &[Value]) {
    let store = Store::new(Embedded::open(path).await.expect("the file opens"));
    let mut usernames = Vec::new();
    // Nobody collides with these.
    for user in &users[..1_000] {
        let (id, username) = (text(user, "id"), lower(user, "username"));
        let by_address = format!("user_by_email_address:{}", lower(user, "email_address"));
        let json = store.get(format!("user:{id}")).await.expect("it reads").expect("it is there");
        let json: Value = serde_json::from_slice(&json).expect("it is JSON");
        assert_eq!(json, *user);
        let by_username = format!("user_by_username:{username}");
        for key in [by_username, by_address] {
            let found = store.get(&key).await.expect("it reads");
            assert_eq!(found.as_deref(), Some(id.as_bytes()), "{key}");
        }
        let found = store.zhget("usernames", &username).await.expect("it reads");
        assert_eq!(found.as_deref(), Some(id.as_bytes()), "{username}");
        usernames.push(username);
    }
    assert_eq!(HashSet::<String>::from_iter(usernames).len(), 1_000);
}

#[test]
fn the_temporary_store_is_gone_after_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = example();
    command.envs(["TMPDIR", "TMP", "TEMP"].map(|name| (name, dir.path())));
    let output = run_on(&json_lines(&shipped()[..100]), &mut command);
    assert_eq!(figure(&output, "added"), 100);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
fn are_added_on(url: &str) {
    let expected = Figures::expected(&shipped(), 1);
    // Where no others are set, any will do.
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let output = example().args(["--store", url]).envs(keys.map(|key| (key, "test"))).output();
    let output = output.expect("the example starts");
    assert_eq!(Figures::told_by(&output), expected, "{}", stderr(&output));
    for phase in ["by username", "by address", "by id, one batch"] {
        assert_eq!(figure(&output, phase), 1_000, "{phase}");
    }
}

#[cfg(feature = "redis")]
#[test]
fn the_same_users_are_added_on_redis() {
    are_added_on(&support::redis::database());
}

/// On a server of our own, whose answers are those of dynoxide.
#[cfg(feature = "dynamodb")]
#[test]
fn the_same_users_are_added_on_dynamodb() {
    let server = support::dynamodb::Server::start(&support::dynamodb::database());
    let url = "dynamodb://users?region=us-east-1&create_table=true&endpoint=";
    are_added_on(&format!("{url}{}", server.url()));
}

#[cfg(feature = "foundationdb")]
#[test]
fn the_same_users_are_added_on_foundationdb() {
    are_added_on(&support::foundationdb::subspace());
}
