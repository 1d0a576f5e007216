//! Connection URLs: Unix sockets, databases, TLS.

use crate::support::process::free_port;
use crate::support::redis::Server;
use crate::{assert_kind, open};
use keyvaluestore::{ErrorKind, Store};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_socket_and_a_port_lead_to_the_same() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let socket = format!("redis+unix://{}", server.socket().display());
    let (by_socket, by_port) = (open(&socket).await, open(&server.url()).await);
    by_socket.set("k", "v").await.unwrap();
    assert_eq!(by_port.get("k").await.unwrap().unwrap(), "v");
    let third = open(&format!("{socket}?db=3")).await;
    assert_eq!(third.get("k").await.unwrap(), None);
    server.restart();
    crate::pause(50).await;
    assert_eq!(by_socket.get("k").await.unwrap().unwrap(), "v");
    let error = Store::open("redis+unix:///nowhere/at/all.sock").await.map(drop);
    assert_kind(error, ErrorKind::Unavailable);
}

#[tokio::test]
async fn databases_are_apart_also_after_a_new_connection() {
    let server = Server::start(&[]);
    let [one, two] = [1, 2].map(|n| format!("{}{n}", server.url()));
    let (one, two) = (open(&one).await, open(&two).await);
    for round in 0..3 {
        one.set("k", round).await.unwrap();
        two.zhadd("z", "f", round, 1.0).await.unwrap();
        assert_eq!(two.get("k").await.unwrap(), None);
        assert_eq!(one.zhget("z", "f").await.unwrap(), None);
        assert_eq!(one.get("k").await.unwrap().unwrap(), round.to_string());
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        crate::pause(50).await;
    }
    let none = Store::open(format!("{}10001", server.url())).await;
    assert_kind(none, ErrorKind::InvalidArgument);
}

/// A server with a self-signed certificate for `localhost`; its TLS port; the certificate's file.
fn with_tls(dir: &std::path::Path) -> (Server, u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cert = file("cert.pem", made.cert.pem());
    let key = file("key.pem", made.signing_key.serialize_pem());
    let port = free_port();
    let server = Server::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &cert,
        "--tls-auth-clients",
        "no",
    ]);
    (server, port, cert)
}

/// Answers the first bytes of every client with `answer`, and closes. Its port.
async fn answers(answer: &'static [u8]) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.read(&mut [0; 65_536]).await;
            let _ = client.write_all(answer).await;
        }
    });
    port
}

#[tokio::test]
async fn tls_is_spoken_with_who_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, port, cert) = with_tls(dir.path());
    let other_dir = tempfile::tempdir().unwrap();
    let (_other, other_port, _) = with_tls(other_dir.path());
    // The trusted certificates come from the environment, so this needs another process.
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "connection_urls::in_a_process_of_its_own", "--ignored", "--nocapture"]);
    child.env("SSL_CERT_FILE", &cert).env("KVS_TLS_URL", format!("rediss://localhost:{port}/1"));
    child.env("KVS_TLS_UNTRUSTED", format!("rediss://localhost:{other_port}/"));
    child.env("KVS_TLS_MISNAMED", format!("rediss://127.0.0.1:{port}/"));
    child.env("KVS_TLS_PLAIN", format!("rediss://localhost:{}/", server.port));
    let http = answers(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    child.env("KVS_TLS_HTTP", format!("rediss://localhost:{http}/"));
    child.env("KVS_TLS_CLOSES", format!("rediss://localhost:{}/", answers(b"").await));
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{text}");
    let mut admin = crate::Admin::new(&format!("{}1", server.url()));
    assert_eq!(admin.run::<String>(&["GET", "k"]), "v");
    // This process trusts only the system's certificates.
    let start = Instant::now();
    let error = Store::open(format!("rediss://localhost:{port}/")).await.map(drop);
    let error = assert_kind(error, ErrorKind::AccessDenied);
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(2));
    // Without TLS on the TLS port.
    let start = Instant::now();
    let error = Store::open(format!("redis://localhost:{port}/")).await.map(drop);
    let error = assert_kind(error, ErrorKind::Unavailable);
    assert!(error.to_string().contains("`rediss`"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(2));
    server.kill();
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn in_a_process_of_its_own() {
    let url = |name: &str| std::env::var(name).unwrap();
    let store = Store::open(url("KVS_TLS_URL")).await.unwrap();
    store.set("k", "v").await.unwrap();
    store.zhadd("z", "f", "v", 1.0).await.unwrap();
    assert_eq!(store.zhrange("z").await.unwrap(), ["v"]);
    store.sadd("set", 0..50_000).await.unwrap();
    assert_eq!(store.smembers("set").await.unwrap().len(), 50_000);
    for (name, kind, says) in [
        ("KVS_TLS_UNTRUSTED", ErrorKind::AccessDenied, "certificate"),
        ("KVS_TLS_MISNAMED", ErrorKind::AccessDenied, "certificate"),
        ("KVS_TLS_PLAIN", ErrorKind::Timeout, "starts with `redis`, not `rediss`"),
        ("KVS_TLS_HTTP", ErrorKind::InvalidArgument, "starts with `redis`, not `rediss`"),
        ("KVS_TLS_CLOSES", ErrorKind::Unavailable, "starts with `redis`, not `rediss`"),
    ] {
        let start = Instant::now();
        let opened = Store::open(url(name) + "?connect_timeout=1s").await;
        let error = assert_kind(opened.map(drop), kind);
        assert!(error.to_string().contains(says), "{name}: {error:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "{name}");
    }
    // The library has not installed a provider: the program can install its own afterwards.
    use rustls::crypto::{CryptoProvider, ring};
    assert!(CryptoProvider::get_default().is_none());
    ring::default_provider().install_default().unwrap();
    let store = Store::open(url("KVS_TLS_URL")).await.unwrap();
    assert_eq!(store.get("k").await.unwrap().unwrap(), "v");
}
