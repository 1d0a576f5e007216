//! DynamoDB for the tests: the emulator dynoxide in process, or the server of
//! `KVS_DYNAMODB_ENDPOINT`.

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use dynoxide::Database;
use dynoxide::errors::DynoxideError;
use keyvaluestore::DynamoDb;
use keyvaluestore::backend::aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedHttpClient,
};
use keyvaluestore::backend::aws_sdk_dynamodb::{Client, Config};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Runs a request of DynamoDB's protocol. Returns status and body.
pub(crate) fn dispatch(db: &Database, call: &str, body: &[u8]) -> (u16, String) {
    macro_rules! calls {
        ($($name:literal => $call:ident),*) => {
            match call {
                $($name => {
                    serde_json::from_slice(body)
                        .map_err(|e| DynoxideError::ValidationException(e.to_string()))
                        .and_then(|request| db.$call(request))
                        .map(|response| serde_json::to_string(&response).unwrap())
                })*
                call => panic!("the backend does not call {call}"),
            }
        };
    }
    let answer = calls!(
        "CreateTable" => create_table, "DescribeTable" => describe_table,
        "DeleteTable" => delete_table,
        "GetItem" => get_item, "PutItem" => put_item, "UpdateItem" => update_item,
        "DeleteItem" => delete_item, "Query" => query, "BatchGetItem" => batch_get_item,
        "BatchWriteItem" => batch_write_item, "TransactGetItems" => transact_get_items,
        "TransactWriteItems" => transact_write_items
    );
    match answer {
        Ok(body) => (200, body),
        Err(e) => (e.status_code(), e.to_json()),
    }
}

/// The call in an `x-amz-target` header.
pub(crate) fn call_of(target: &str) -> &str {
    target.rsplit('.').next().unwrap_or_default()
}

type Hook = dyn Fn(&Database, &str, &[u8]) -> (u16, String) + Send + Sync;

/// An HTTP connector of the SDK that runs requests in this process.
struct InProcess(Database, Box<Hook>);

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let body = request.body().bytes().unwrap_or_default();
        let (status, body) = self.1(&self.0, call_of(target), body);
        let response =
            HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
        HttpConnectorFuture::ready(Ok(response))
    }
}

/// A network of limited bandwidth, which concurrent requests share.
#[derive(Debug)]
pub(crate) struct SlowLink {
    bytes_per_second: f64,
    turn: tokio::sync::Mutex<()>,
}

impl SlowLink {
    pub(crate) fn new(bytes_per_second: f64) -> Arc<Self> {
        Arc::new(SlowLink { bytes_per_second, turn: tokio::sync::Mutex::new(()) })
    }
    /// Waits until these bytes are transferred, packet by packet.
    async fn carry(&self, bytes: usize) {
        const PACKET: usize = 64 << 10;
        for at in (0..bytes).step_by(PACKET) {
            // The mutex is fair: requests take turns.
            let turn = self.turn.lock().await;
            let packet = PACKET.min(bytes - at) as f64;
            tokio::time::sleep(Duration::from_secs_f64(packet / self.bytes_per_second)).await;
            drop(turn);
        }
    }
}

/// Like [`InProcess`], over a [`SlowLink`].
struct OverSlowLink(Database, Arc<SlowLink>);

impl std::fmt::Debug for OverSlowLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OverSlowLink")
    }
}

impl HttpConnector for OverSlowLink {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (db, link) = (self.0.clone(), Arc::clone(&self.1));
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let body = request.body().bytes().unwrap_or_default();
            link.carry(body.len()).await;
            let (status, body) = dispatch(&db, call_of(target), body);
            link.carry(body.len()).await;
            let status = StatusCode::try_from(status).unwrap();
            Ok(HttpResponse::new(status, SdkBody::from(body)))
        })
    }
}

/// A client of a database over a slow link.
pub(crate) fn slow_client(db: &Database, link: &Arc<SlowLink>) -> Client {
    let connector = SharedHttpConnector::new(OverSlowLink(db.clone(), Arc::clone(link)));
    client_with(Some(http_client_fn(move |_, _| connector.clone())), "http://in-process")
}

/// A client of the SDK with this HTTP client, or with a real one.
pub(crate) fn client_with(http: Option<SharedHttpClient>, endpoint: &str) -> Client {
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint);
    config.set_http_client(Some(http.unwrap_or_else(network)));
    let of_env = |name: &str| std::env::var(name).ok();
    // An emulator accepts any credentials. The service needs those of the environment.
    let key = of_env("AWS_ACCESS_KEY_ID").unwrap_or_else(|| "test".to_owned());
    let secret = of_env("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| "test".to_owned());
    let credentials = Credentials::new(key, secret, of_env("AWS_SESSION_TOKEN"), None, "tests");
    Client::from_conf(config.credentials_provider(credentials).build())
}

fn network() -> SharedHttpClient {
    use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// A client of a database in this process.
pub(crate) fn in_process(db: &Database) -> Client {
    in_process_with(db, dispatch)
}

/// Like [`in_process`], with `hook` in place of [`dispatch`]: it gets the call and the body of the
/// request.
pub(crate) fn in_process_with(
    db: &Database,
    hook: impl Fn(&Database, &str, &[u8]) -> (u16, String) + Send + Sync + 'static,
) -> Client {
    let connector = SharedHttpConnector::new(InProcess(db.clone(), Box::new(hook)));
    client_with(Some(http_client_fn(move |_, _| connector.clone())), "http://in-process")
}

pub(crate) fn database() -> Database {
    Database::memory().expect("a database in memory")
}

/// The server on which the tests run, if not in process.
pub(crate) fn endpoint() -> Option<String> {
    std::env::var("KVS_DYNAMODB_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty())
}

/// A table of a server. It is deleted when the last clone of its `Arc` is dropped.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    endpoint: String,
}

impl Table {
    fn new(endpoint: &str) -> Self {
        let name = format!("keyvaluestore-tests-{:016x}", fastrand::u64(..));
        Table { name, endpoint: endpoint.to_owned() }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let (client, name) = (client_with(None, &self.endpoint), self.name.clone());
        // A thread, because a test may be inside a runtime, which must not block.
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let removed = runtime
                .expect("a runtime")
                .block_on(async move { client.delete_table().table_name(name).send().await });
            if let Err(e) = removed {
                eprintln!("the table of the tests is left behind: {e:?}");
            }
        });
        let _ = removal.join();
    }
}

/// An empty table, or a shared one of which the test uses a prefix.
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) table: String,
    pub(crate) kept: Option<Arc<Table>>,
}

/// A new table.
pub(crate) async fn place() -> Place {
    let Some(endpoint) = endpoint() else {
        let client = in_process(&database());
        DynamoDb::create_table(&client, "table").await.expect("a table");
        return Place { client, table: "table".to_owned(), kept: None };
    };
    of(Arc::new(Table::new(&endpoint))).await
}

/// A new table in process. On another server, a shared table and a new prefix.
pub(crate) async fn shared() -> (Place, String) {
    static SHARED: Mutex<Weak<Table>> = Mutex::new(Weak::new());
    static PREFIX: AtomicU64 = AtomicU64::new(0);
    let Some(endpoint) = endpoint() else { return (place().await, String::new()) };
    let table = {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let table = shared.upgrade().unwrap_or_else(|| Arc::new(Table::new(&endpoint)));
        *shared = Arc::downgrade(&table);
        table
    };
    let prefix = format!("{}:", PREFIX.fetch_add(1, Ordering::Relaxed));
    (of(table).await, prefix)
}

async fn of(table: Arc<Table>) -> Place {
    let client = client_with(None, &table.endpoint);
    DynamoDb::create_table(&client, &table.name).await.expect("a table");
    Place { client, table: table.name.clone(), kept: Some(table) }
}

/// What a [`Server`] does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Answer,
    /// Applies it, and closes the connection without a response.
    Drop,
    /// Applies it, and responds with an internal error.
    Fail,
    /// Rejects it.
    Throttle,
}

/// An HTTP server on loopback with DynamoDB's protocol.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
}

type Judge = dyn Fn(&str) -> Fate + Send + Sync;

impl Server {
    /// Starts a server that answers every request.
    pub(crate) fn start(db: &Database) -> Server {
        Server::judging(db, |_| Fate::Answer)
    }
    /// Starts a server that asks `judge` about each call. Its threads end with the process.
    pub(crate) fn judging(
        db: &Database,
        judge: impl Fn(&str) -> Fate + Send + Sync + 'static,
    ) -> Server {
        Server::on(TcpListener::bind("127.0.0.1:0").expect("a port"), db, judge)
    }
    /// Like [`judging`](Self::judging), on a given port.
    pub(crate) fn on(
        listener: TcpListener,
        db: &Database,
        judge: impl Fn(&str) -> Fate + Send + Sync + 'static,
    ) -> Server {
        let address = listener.local_addr().expect("an address");
        let (db, judge): (_, Arc<Judge>) = (db.clone(), Arc::new(judge));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (db, judge) = (db.clone(), judge.clone());
                std::thread::spawn(move || serve(&db, &*judge, stream));
            }
        });
        Server { address }
    }
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Serves one connection, until the client or the judge closes it.
fn serve(db: &Database, judge: &Judge, stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let (mut target, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                match name.to_ascii_lowercase().as_str() {
                    "x-amz-target" => target = value.trim().to_owned(),
                    "content-length" => length = value.trim().parse().ok()?,
                    _ => {}
                }
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let call = call_of(&target);
        let error = |code: &str| {
            format!(
                "{{\"__type\":\"com.amazonaws.dynamodb.v20120810#{code}\",\"message\":\"test\"}}"
            )
        };
        let (status, body) = match judge(call) {
            Fate::Answer => dispatch(db, call, &body),
            Fate::Throttle => (400, error("ThrottlingException")),
            fate => {
                dispatch(db, call, &body);
                if fate == Fate::Drop {
                    return None;
                }
                (500, error("InternalServerError"))
            }
        };
        let head = format!(
            "HTTP/1.1 {status} Status\r\n\
             content-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        writer.write_all(&[head.as_bytes(), body.as_bytes()].concat()).ok()?;
    }
}

/// Starts a server that sends the same response to every request, and waits for `delay` before its
/// last byte. Returns its URL.
pub(crate) fn responding(response: &'static str, delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut read = [0; 65_536];
                while stream.read(&mut read).is_ok_and(|n| n > 0) {
                    let (first, last) = response.split_at(response.len() - 1);
                    let _ = stream.write_all(first.as_bytes());
                    std::thread::sleep(delay);
                    let _ = stream.write_all(last.as_bytes());
                    // An incomplete response ends the connection.
                    if response == "HTTP/1.1" {
                        break;
                    }
                }
            });
        }
    });
    url
}

/// The URL of a port on which nothing listens.
pub(crate) fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
