//! Network faults: lost and truncated answers; malformed and unexpected replies.

use crate::support::redis::Server;
use crate::{Admin, assert_kind};
use keyvaluestore::backend::RedisOptions;
use keyvaluestore::{ErrorKind, Result, Store};
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the proxy does with the next answer: forward it; cut it in half and disconnect; drop it and
/// disconnect; drop it and keep the connection.
const PASS: u8 = 0;
const CUT: u8 = 1;
const DROP: u8 = 2;
const SWALLOW: u8 = 3;

/// A proxy in front of a server. Returns its URL, and what to do with the next answer.
async fn proxy(server: &Server) -> (String, Arc<AtomicU8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, to) = (format!("redis://{}/", listener.local_addr().unwrap()), server.address());
    let mode = Arc::new(AtomicU8::new(PASS));
    tokio::spawn({
        let mode = Arc::clone(&mode);
        async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&to).await else { continue };
                tokio::spawn(forward(client, server, Arc::clone(&mode)));
            }
        }
    });
    (url, mode)
}

async fn forward(client: TcpStream, server: TcpStream, mode: Arc<AtomicU8>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let mut buffer = vec![0; 65_536];
    while let Ok(n @ 1..) = from_server.read(&mut buffer).await {
        match mode.swap(PASS, SeqCst) {
            CUT => {
                let _ = to_client.write_all(&buffer[..n / 2]).await;
                break;
            }
            DROP => break,
            SWALLOW => {}
            _ if to_client.write_all(&buffer[..n]).await.is_err() => break,
            _ => {}
        }
    }
    requests.abort();
}

async fn open(url: &str) -> Result<Store> {
    let timeout = Duration::from_millis(300);
    let options = RedisOptions::new().response_timeout(timeout).connect_timeout(timeout);
    options.open(url).await.map(Store::new)
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_has_an_unknown_outcome_and_is_not_sent_again() {
    let server = Server::start(&[]);
    let mut admin = Admin::of(&server);
    let (url, mode) = proxy(&server).await;
    let store = open(&url).await.unwrap();
    let atomic = || {
        let mut w = store.atomic_write();
        w.incr_by("n", 1);
        w.zincr_by("z", "m", 1.0);
        w.exec()
    };
    assert!(atomic().await.unwrap().is_committed());
    store.zincr_by("z", "m", 1.0).await.unwrap();
    store.incr_by("n", 1_000).await.unwrap();
    let (mut n, mut z) = (1_001, 2.0);
    for (how, kind) in [
        (CUT, ErrorKind::Unavailable),
        (DROP, ErrorKind::Unavailable),
        (SWALLOW, ErrorKind::Timeout),
    ] {
        for call in 0..4 {
            mode.store(how, SeqCst);
            let result = match call {
                0 => store.incr_by("n", 1).await.map(drop),
                1 => store.zincr_by("z", "m", 1.0).await.map(drop),
                2 => atomic().await.map(drop),
                _ => {
                    let mut b = store.batch();
                    let n = b.incr_by("n", 1);
                    b.zincr_by("z", "m", 1.0);
                    b.exec_each().await.take(n).map(drop)
                }
            };
            let error = assert_kind(result, kind);
            assert!(error.outcome_is_unknown(), "{how} {call}: {error:?}");
            (n, z) = (n + i64::from(call != 1), z + f64::from(call != 0));
            assert_eq!(admin.run::<i64>(&["GET", "n"]), n, "{how} {call}");
            assert_eq!(admin.run::<f64>(&["ZSCORE", "z", "m"]), z, "{how} {call}");
            // Later calls succeed.
            assert_eq!(store.get("n").await.unwrap().unwrap(), n.to_string());
        }
        mode.store(how, SeqCst);
        let error = assert_kind(store.get("n").await, kind);
        assert!(!error.outcome_is_unknown(), "a read has no outcome");
        // Reconnects, so that the next answer is that of the next write.
        store.get("n").await.unwrap();
    }
}

#[tokio::test]
async fn a_long_answer_cut_in_the_middle_is_unavailable() {
    let server = Server::start(&[]);
    let (url, mode) = proxy(&server).await;
    let store = open(&url).await.unwrap();
    store.set("secret", "SECRET".repeat(1_000)).await.unwrap();
    store.sadd("set", (0..5_000).map(|i| format!("SECRET{i}"))).await.unwrap();
    for _ in 0..3 {
        mode.store(CUT, SeqCst);
        let error = assert_kind(store.get("secret").await, ErrorKind::Unavailable);
        assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
        mode.store(CUT, SeqCst);
        let error = assert_kind(store.smembers("set").await, ErrorKind::Unavailable);
        assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
        crate::pause(60).await; // the answer to `HELLO` was cut: the backoff
        assert_eq!(store.smembers("set").await.unwrap().len(), 5_000);
    }
}

/// The length of the first command, and its name; `None` if it is incomplete.
fn command(bytes: &[u8]) -> Option<(usize, String)> {
    let mut at = 0;
    let line = |at: &mut usize| {
        let end = *at + bytes[*at..].windows(2).position(|two| two == b"\r\n")?;
        let number = std::str::from_utf8(&bytes[*at + 1..end]).ok()?.parse::<usize>().ok();
        *at = end + 2;
        number
    };
    let mut name = None;
    for _ in 0..line(&mut at)? {
        let len = line(&mut at)?;
        let text = bytes.get(at..at + len)?;
        bytes.get(at + len..at + len + 2)?;
        name.get_or_insert_with(|| String::from_utf8_lossy(text).to_uppercase());
        at += len + 2;
    }
    Some((at, name?))
}

/// Greets like Redis, and answers everything else with `answer`. Its URL.
async fn fake(answer: &[u8]) -> String {
    let answer = answer.to_vec();
    format!("redis://127.0.0.1:{}/", scripted(move |_, _| answer.clone()).await)
}

/// A test double of a server: answers `HELLO` like Redis, and other commands with `answer`, which
/// gets their name and the port. Returns the port.
pub(crate) async fn scripted(answer: impl Fn(&str, u16) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut asked = Vec::new();
                loop {
                    while let Some((len, name)) = command(&asked) {
                        asked.drain(..len);
                        let reply = match &name[..] {
                            "HELLO" => b"%1\r\n+proto\r\n:3\r\n".to_vec(),
                            "CLIENT" => b"+OK\r\n".to_vec(),
                            _ => answer(&name, port),
                        };
                        if client.write_all(&reply).await.is_err() {
                            return;
                        }
                    }
                    let Ok(1..) = client.read_buf(&mut asked).await else { return };
                }
            });
        }
    });
    port
}

/// While a slot moves, a script may have to wait (`TRYAGAIN`), and a plain read of the same key
/// does not.
#[tokio::test]
async fn a_read_that_overtakes_its_write_while_a_slot_moves_is_asked_again() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&log);
    let port = scripted(move |name, port| {
        let mut asked = asked.lock().unwrap();
        let first = !asked.iter().any(|before| before == name);
        asked.push(name.to_owned());
        let slots = format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:{port}\r\n");
        let answer = match (name, first) {
            ("CLUSTER", _) => &slots,
            ("EVAL", true) => "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
            ("EVAL", false) => ":1\r\n",
            ("ZSCORE", true) => ",1\r\n",
            _ => ",2\r\n",
        };
        answer.as_bytes().to_vec()
    })
    .await;
    let store = Store::open(format!("redis+cluster://127.0.0.1:{port}")).await.unwrap();
    let mut batch = store.batch();
    batch.zadd("z", "m", 2.0);
    let score = batch.zscore("z", "m");
    let mut replies = batch.exec().await.unwrap();
    assert_eq!(replies.take(score).unwrap(), Some(2.0));
    assert_eq!(*log.lock().unwrap(), ["CLUSTER", "EVAL", "ZSCORE", "EVAL", "ZSCORE"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_an_error_and_neither_a_panic_nor_a_hang() {
    let deep = "*1\r\n".repeat(100_000);
    let nonsense = [
        "garbage\r\n",
        "\0\0\0\0\r\n",
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        "$9999999999\r\n",
        "$9223372036854775807\r\n",
        "$-2\r\n",
        "$x\r\n",
        ":\r\n",
        ":99999999999999999999\r\n",
        "*9223372036854775807\r\n",
        "*4294967296\r\n:1\r\n",
        "%9223372036854775807\r\n",
        "%-1\r\n",
        "|0\r\n",
        "|-1\r\n",
        "~9223372036854775807\r\n",
        ">0\r\n",
        ">-1\r\n",
        ">2\r\n:1\r\n:1\r\n",
        "=-1\r\n",
        "!-1\r\n",
        "=3\r\nabc\r\n",
        ",not a number\r\n",
        "#x\r\n",
        "-\r\n",
        "-\u{ff}\r\n",
        "+\u{fffd}",
        "*3\r\n:1\r\n:2\r\n",
        "(12345678901234567890123\r\n",
        &deep,
    ];
    for answer in nonsense {
        let store = open(&fake(answer.as_bytes()).await).await.unwrap();
        let shown = &answer[..answer.len().min(40)];
        for round in 0..2 {
            let start = Instant::now();
            let mut b = store.batch();
            let (n, s) = (b.incr_by("n", 1), b.smembers("k"));
            let mut w = store.atomic_write();
            w.set("k", "v");
            let (get, incr, range, atomic, mut r) = tokio::join!(
                store.get("k"),
                store.incr_by("n", 1),
                store.zhrange("z").with_scores().into_future(),
                w.exec(),
                b.exec_each(),
            );
            let took = start.elapsed();
            assert!(took < Duration::from_millis(1_500), "{shown:?} {took:?}");
            // An increment accepts none of these answers.
            let error = incr.expect_err(shown);
            assert!(r.take(n).is_err(), "{shown:?} {round}");
            let kinds = [ErrorKind::Other, ErrorKind::Timeout, ErrorKind::Unavailable];
            assert!(kinds.contains(&error.kind()), "{shown:?}: {error:?}");
            drop((get, range, atomic, r.take(s)));
        }
    }
}

#[tokio::test]
async fn an_answer_of_the_wrong_type_is_an_error() {
    // An answer, and whether these accept it: get, incr_by, smembers, zscore, set_nx, an atomic
    // write.
    let answers: [(&str, [bool; 6]); 9] = [
        (":5\r\n", [false, true, false, false, true, false]),
        ("*1\r\n:5\r\n", [false, false, false, false, false, true]),
        ("*2\r\n$1\r\na\r\n$1\r\nb\r\n", [false, false, true, false, false, false]),
        ("$3\r\nabc\r\n", [true, false, false, false, false, false]),
        ("_\r\n", [true, false, false, true, true, false]),
        ("#t\r\n", [false; 6]),
        ("%1\r\n+a\r\n+b\r\n", [false; 6]),
        ("|1\r\n+a\r\n+b\r\n:1\r\n", [false; 6]),
        ("*1\r\n*1\r\n*1\r\n*0\r\n", [false; 6]),
    ];
    for (answer, expected) in answers {
        let store = open(&fake(answer.as_bytes()).await).await.unwrap();
        let mut w = store.atomic_write();
        w.set("k", "v");
        let results = [
            store.get("k").await.map(drop),
            store.incr_by("k", 1).await.map(drop),
            store.smembers("k").await.map(drop),
            store.zscore("k", "m").await.map(drop),
            store.set_nx("k", "v").await.map(drop),
            w.exec().await.map(drop),
        ];
        for (i, (result, expected)) in results.into_iter().zip(expected).enumerate() {
            match result {
                Ok(()) => assert!(expected, "{answer:?} {i}"),
                Err(e) => {
                    assert!(!expected, "{answer:?} {i}: {e:?}");
                    assert_eq!(e.kind(), ErrorKind::Other, "{answer:?} {i}");
                }
            }
        }
    }
}

/// A script that reads is a read as well: it is resent after the write that it has overtaken.
#[tokio::test]
async fn a_script_that_reads_follows_the_write_before_it() {
    let asked = Arc::new(Mutex::new(0));
    let port = scripted(move |name, port| {
        if name == "CLUSTER" {
            let slots = format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:{port}\r\n");
            return slots.into_bytes();
        }
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        let answer = match *asked {
            1 => "-CLUSTERDOWN The cluster is down\r\n",
            2 => "$3\r\nold\r\n", // the read came too early
            3 => ":1\r\n",
            _ => "$3\r\nnew\r\n",
        };
        answer.as_bytes().to_vec()
    })
    .await;
    let store = Store::open(format!("redis+cluster://127.0.0.1:{port}")).await.unwrap();
    let mut batch = store.batch();
    batch.zhadd("z", "m", "new", 2.0);
    let value = batch.zhget("z", "m");
    let mut replies = batch.exec().await.unwrap();
    assert_eq!(replies.take(value).unwrap().unwrap(), "new");
}
