//! DynamoDB for the tests: dynoxide in process, or the server that `KVS_DYNAMODB_ENDPOINT` names.

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

/// Answers a request of the service's protocol: the status and the body.
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
        "CreateTable" => create_table, "DescribeTable" => describe_table, "DeleteTable" => delete_table,
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

/// The call that a request is for.
pub(crate) fn call_of(target: &str) -> &str {
    target.rsplit('.').next().unwrap_or_default()
}

type Hook = dyn Fn(&Database, &str, &[u8]) -> (u16, String) + Send + Sync;

/// Takes the SDK's requests where they would go out, and answers them on the spot.
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

/// A network of so many bytes a second, of which everything that is under way has its share.
#[derive(Debug)]
pub(crate) struct Link {
    bytes_per_second: f64,
    turn: tokio::sync::Mutex<()>,
}

impl Link {
    pub(crate) fn new(bytes_per_second: f64) -> Arc<Self> {
        Arc::new(Link { bytes_per_second, turn: tokio::sync::Mutex::new(()) })
    }
    /// Waits until so many bytes have come through, a packet a turn.
    async fn carry(&self, bytes: usize) {
        const PACKET: usize = 64 << 10;
        for at in (0..bytes).step_by(PACKET) {
            // Whoever has waited longest is next.
            let turn = self.turn.lock().await;
            let packet = PACKET.min(bytes - at) as f64;
            tokio::time::sleep(Duration::from_secs_f64(packet / self.bytes_per_second)).await;
            drop(turn);
        }
    }
}

/// A database behind a [`Link`].
struct Behind(Database, Arc<Link>);

impl std::fmt::Debug for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Behind")
    }
}

impl HttpConnector for Behind {
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

/// A client of a database that is reached over `link`.
pub(crate) fn behind(db: &Database, link: &Arc<Link>) -> Client {
    let connector = SharedHttpConnector::new(Behind(db.clone(), Arc::clone(link)));
    client_with(Some(http_client_fn(move |_, _| connector.clone())), "http://in-process")
}

/// A client of the SDK's whose requests end in `http`, or in the network.
pub(crate) fn client_with(http: Option<SharedHttpClient>, endpoint: &str) -> Client {
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint);
    config.set_http_client(Some(http.unwrap_or_else(network)));
    let of_env = |name: &str| std::env::var(name).ok();
    // A server of one's own takes any; the service itself takes those of the environment.
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

/// A client of a new database in this process.
pub(crate) fn in_process(db: &Database) -> Client {
    in_process_with(db, dispatch)
}

/// The same where `hook` answers, as [`dispatch`] would: it is given the call and the body of the
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

/// The other server that the tests are to run on, if any.
pub(crate) fn endpoint() -> Option<String> {
    std::env::var("KVS_DYNAMODB_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty())
}

/// A table that is removed with the last who holds it.
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
        // A test may be inside of a runtime, which cannot wait.
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

/// An empty table, or an empty part of one.
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) table: String,
    pub(crate) kept: Option<Arc<Table>>,
}

/// A table of one's own.
pub(crate) async fn place() -> Place {
    let Some(endpoint) = endpoint() else {
        let client = in_process(&database());
        DynamoDb::create_table(&client, "table").await.expect("a table");
        return Place { client, table: "table".to_owned(), kept: None };
    };
    of(Arc::new(Table::new(&endpoint))).await
}

/// A table that is one's own on dynoxide, and on another server shared by all who take a prefix of
/// their own.
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

/// What becomes of a request at a [`Server`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Answer,
    /// It is carried out, and the connection is closed without an answer.
    Drop,
    /// It is carried out, and the answer is an internal error.
    Fail,
    /// It is refused, and not carried out.
    Throttle,
}

/// A server on loopback that speaks the service's protocol, for an endpoint of our own.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
}

type Judge = dyn Fn(&str) -> Fate + Send + Sync;

impl Server {
    /// Starts one that answers everything.
    pub(crate) fn start(db: &Database) -> Server {
        Server::judging(db, |_| Fate::Answer)
    }
    /// Starts one that asks `judge` about every call. Its threads end with the test.
    pub(crate) fn judging(
        db: &Database,
        judge: impl Fn(&str) -> Fate + Send + Sync + 'static,
    ) -> Server {
        Server::on(TcpListener::bind("127.0.0.1:0").expect("a port"), db, judge)
    }
    /// The same on a port that somebody has chosen.
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

/// Answers the requests of one connection, until it or the judge ends it.
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
            "HTTP/1.1 {status} Status\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
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
