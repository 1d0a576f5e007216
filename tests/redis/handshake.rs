//! Errors of connecting: cluster nodes, Sentinels, proxies, and servers without `HELLO`.

use crate::support::process::{free_port, program};
use crate::support::redis::{Cluster, Server};
use crate::{assert_kind, errors::chain};
use keyvaluestore::{ErrorKind, Store};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Once `open` succeeded, and two of three keys failed.
#[tokio::test]
async fn a_node_of_a_cluster_is_no_server_of_its_own() {
    let cluster = Cluster::start(1, 0);
    let address = cluster.nodes[0].address();
    for path in ["", "/", "/1"] {
        let error = Store::open(format!("redis://{address}{path}")).await.map(drop);
        let error = assert_kind(error, ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("`redis+cluster://`"), "{error}");
    }
    let store = Store::open(format!("redis+cluster://{address}")).await.unwrap();
    store.set("k", "v").await.unwrap();
    // As a replica it answers no read, and the primary answers instead.
    let primary = Server::start(&[]);
    let store = Store::open(format!("{}?replica={address}", primary.url())).await.unwrap();
    store.set("k", "of the primary").await.unwrap();
    for _ in 0..3 {
        let value = store.eventually_consistent().get("k").await.unwrap();
        assert_eq!(value.unwrap(), "of the primary");
    }
}

/// Killed when it is dropped.
struct Sentinel(Child);

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_sentinel_is_refused_with_the_url_that_is_meant() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let file = dir.path().join("sentinel.conf");
    std::fs::write(&file, format!("port {port}\nbind 127.0.0.1\n")).unwrap();
    let mut command = Command::new(program("redis-server", None).unwrap());
    command.arg(&file).arg("--sentinel").stdout(Stdio::null()).stderr(Stdio::null());
    let _sentinel = Sentinel(command.spawn().unwrap());
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not start");
        crate::pause(20).await;
    }
    for scheme in ["redis", "redis+cluster"] {
        let error = Store::open(format!("{scheme}://127.0.0.1:{port}")).await.map(drop);
        let error = assert_kind(error, ErrorKind::InvalidArgument);
        for says in ["Sentinel", "`redis://`", "`redis+cluster://`"] {
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}

/// Answers each client once, then keeps the connection open. Returns the address.
async fn answers(answer: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, answer) = (listener.local_addr().unwrap().to_string(), answer.to_owned());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = client.read(&mut [0; 4_096]).await;
                // One answer for each command that the client sends together.
                let _ = client.write_all(answer.repeat(4).as_bytes()).await;
                if !answer.is_empty() {
                    let _ = client.read_to_end(&mut Vec::new()).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_proxy_that_refuses_hello_in_any_words_is_unsupported() {
    use ErrorKind::*;
    for (answer, kind) in [
        (
            "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `hunter2`\r\n",
            Unsupported,
        ),
        (
            "-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'hunter2'\r\n",
            Unsupported,
        ),
        ("-ERR unknown command 'hello' 3 AUTH default hunter2\r\n", Unsupported),
        ("-ERR unsupported command\r\n", Unsupported),
        ("-ERR invalid request\r\n", Unsupported),
        ("-NOPROTO unsupported protocol version\r\n", Unsupported),
        ("-ERR Command HELLO is not allowed here\r\n", Unsupported),
        ("-UNSUPPORTED no\r\n", Unsupported),
        ("-no\r\n", Unsupported),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", Unsupported),
        ("\u{15}\u{3}\u{1}\0\u{2}\u{2}F", Unsupported),
        ("-ERR max number of clients reached\r\n", Unavailable),
        ("-LOADING Redis is loading the dataset in memory\r\n", Unavailable),
        ("-ERR upstream failure\r\n", Unavailable),
        ("-DENIED Redis is running in protected mode\r\n", AccessDenied),
        ("-ERR invalid password\r\n", AccessDenied),
        ("-WRONGPASS invalid username-password pair or user is disabled.\r\n", AccessDenied),
        ("", Unavailable),
    ] {
        let address = answers(answer).await;
        let error = Store::open(format!("redis://:hunter2@{address}/")).await.map(drop);
        let error = error.expect_err(answer);
        assert_eq!(error.kind(), kind, "{answer}: {error:?}");
        assert_eq!(error.is_retryable(), kind == Unavailable, "{answer}");
        assert!(error.to_string().contains(&address), "{error}");
        if kind == Unsupported {
            let says = if answer.starts_with('-') { "`HELLO 3`" } else { "`rediss`" };
            assert!(error.to_string().contains(says), "{answer}: {error}");
        }
        chain(&error).iter().for_each(|text| assert!(!text.contains("hunter2"), "{text}"));
    }
}

/// Redis quotes the command, with the password.
#[tokio::test]
async fn a_server_without_hello_is_unsupported_and_its_words_are_not_repeated() {
    let server = Server::start(&["--requirepass", "hunter1", "--rename-command", "HELLO", ""]);
    let error = Store::open(format!("redis://:hunter1@{}/", server.address())).await.map(drop);
    let error = assert_kind(error, ErrorKind::Unsupported);
    assert!(error.to_string().contains("`HELLO 3`"), "{error}");
    chain(&error).iter().for_each(|text| assert!(!text.contains("hunter"), "{text}"));
}
