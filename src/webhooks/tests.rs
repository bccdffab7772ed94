//! Deliveries to a receiver in this process, over both databases.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::domain::webhook::change::{Change, What};
use crate::domain::webhook::fernet::hmac_sha256;
use crate::proto::{CreateWebhook, UpdateWebhook};
use crate::store::testing::{message, on_each_database};

/// A request as the receiver saw it.
#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// A receiver with scripted responses, then 200.
struct Receiving {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// One response; `None` hangs.
type Script = Vec<Option<&'static str>>;

impl Receiving {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, Arc::clone(&log), script.clone()));
            }
        });
        Self { url, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn wait_for(&self, count: usize) -> Vec<Seen> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.seen().len() < count {
            assert!(Instant::now() < deadline, "{} of {count} came", self.seen().len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.seen()
    }
}

async fn answer(mut stream: TcpStream, log: Arc<Mutex<Vec<Seen>>>, script: Script) {
    let mut text = Vec::new();
    let seen = loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        text.extend_from_slice(&part[..read]);
        let Some((head, body)) = std::str::from_utf8(&text).unwrap().split_once("\r\n\r\n") else { continue };
        let mut lines = head.lines();
        let line = lines.next().unwrap().to_owned();
        let headers: Vec<(String, String)> =
            lines.filter_map(|l| l.split_once(": ")).map(|(k, v)| (k.to_lowercase(), v.to_owned())).collect();
        let seen = Seen { line, headers, body: body.to_owned() };
        if seen.header("content-length").parse().unwrap_or(0) == body.len() {
            break seen;
        }
    };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(seen);
        log.len() - 1
    };
    match script.get(number).copied().unwrap_or(Some("200 OK")) {
        Some(status) => {
            let text = format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\nconnection: close\r\n\r\nthere");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
        None => tokio::time::sleep(Duration::from_mins(1)).await,
    }
}

fn settings() -> Settings {
    Settings {
        allowed_schemes: vec!["http".into(), "https".into()],
        allow_private_ips: true,
        max_retries: 1,
        ..Settings::default()
    }
}

/// A server's delivery task.
struct Running {
    webhooks: Arc<Webhooks>,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(store: &Arc<Store>, settings: Settings) -> Self {
        let webhooks = Arc::new(Webhooks::new(Arc::clone(store), settings).unwrap());
        let stop = Arc::new(Notify::new());
        let task = tokio::spawn(Arc::clone(&webhooks).deliver(Arc::clone(&stop)));
        Self { webhooks, stop, task }
    }

    async fn stop(self) {
        self.stop.notify_one();
        self.task.await.unwrap();
    }

    fn count(&self, outcome: &str) -> u64 {
        self.webhooks.counters.deliveries.with_label_values(&[outcome]).get()
    }

    async fn wait_for(&self, outcome: &str, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.count(outcome) < count {
            assert!(Instant::now() < deadline, "{} of {count} {outcome}", self.count(outcome));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn webhook(store: &Arc<Store>, url: &str, secret: Option<&str>) -> String {
    let request = json!({"name": "w", "url": url, "secret": secret,
        "events": [{"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}]});
    let new = NewWebhook::try_from(message::<CreateWebhook>(request)).unwrap();
    let making = Webhooks::new(Arc::clone(store), settings()).unwrap();
    making.create(new).await.unwrap().webhook_id.unwrap()
}

async fn announce(store: &Store, name: &str) {
    let what = What::AliasSet { alias: "champion".into(), version: "1".into() };
    store.announce(Change { name: name.into(), what }).await.unwrap();
}

#[test]
fn a_change_arrives_signed() {
    on_each_database(|store| async move {
        let store = Arc::new(store);
        let receiver = Receiving::start(vec![]).await;
        let running = Running::start(&store, settings());
        webhook(&store, &receiver.url, Some("s3cr3t")).await;
        announce(&store, "mödel").await;
        let seen = receiver.wait_for(1).await.remove(0);
        running.wait_for("delivered", 1).await;
        running.stop().await;

        assert_eq!(seen.line, "POST /hook HTTP/1.1");
        assert_eq!(seen.header("content-type"), "application/json");
        let (id, time) = (seen.header("x-mlflow-delivery-id"), seen.header("x-mlflow-timestamp"));
        assert_eq!(id.len(), 36);
        let signed = format!("{id}.{time}.{}", seen.body);
        let mac = STANDARD.encode(hmac_sha256(b"s3cr3t", signed.as_bytes()).unwrap());
        assert_eq!(seen.header("x-mlflow-signature"), format!("v1,{mac}"));
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        assert_eq!(body["entity"], "model_version_alias");
        assert_eq!(body["action"], "created");
        assert_eq!(body["data"], json!({"name": "mödel", "alias": "champion", "version": "1"}));
        assert!(seen.body.contains("m\\u00f6del"), "{}", seen.body);
    });
}

#[test]
fn what_fails_in_passing_is_repeated() {
    on_each_database(|store| async move {
        let store = Arc::new(store);
        let receiver = Receiving::start(vec![Some("503 Later"), Some("200 OK"), Some("404 No")]).await;
        let running = Running::start(&store, settings());
        webhook(&store, &receiver.url, None).await;
        announce(&store, "m").await;
        running.wait_for("delivered", 1).await;
        let seen = receiver.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].header("x-mlflow-delivery-id"), seen[1].header("x-mlflow-delivery-id"));
        assert_eq!(seen[0].header("x-mlflow-signature"), "");
        assert_eq!(seen[0].body, seen[1].body);
        announce(&store, "m").await;
        running.wait_for("failed", 1).await;
        assert_eq!(receiver.seen().len(), 3);
        running.stop().await;
    });
}

#[test]
fn a_receiver_that_stays_away_is_given_up() {
    on_each_database(|store| async move {
        let store = Arc::new(store);
        let running = Running::start(&store, settings());
        // Port 1 is closed.
        webhook(&store, "http://127.0.0.1:1/", None).await;
        announce(&store, "m").await;
        running.wait_for("failed", 1).await;
        let attempts = &running.webhooks.counters.attempts;
        assert_eq!(attempts.with_label_values(&["none"]).get(), 2);
        running.stop().await;
    });
}

#[test]
fn a_slow_receiver_keeps_nobody_waiting() {
    on_each_database(|store| async move {
        let store = Arc::new(store);
        let hanging = Receiving::start(vec![None; 20]).await;
        let quick = Receiving::start(vec![]).await;
        let running = Running::start(&store, settings());
        webhook(&store, &hanging.url, None).await;
        for _ in 0..12 {
            announce(&store, "m").await;
        }
        hanging.wait_for(5).await;
        webhook(&store, &quick.url, None).await;
        let began = Instant::now();
        announce(&store, "m").await;
        assert!(began.elapsed() < Duration::from_secs(2), "the request itself waits for nobody");
        quick.wait_for(1).await;
        assert_eq!(hanging.seen().len(), 5, "half of the workers at most");
        running.task.abort();
    });
}

#[test]
fn a_restart_loses_nothing() {
    on_each_database(|store| async move {
        let store = Arc::new(store);
        let receiver = Receiving::start(vec![]).await;
        webhook(&store, &receiver.url, None).await;
        announce(&store, "before").await;
        announce(&store, "taken").await;
        // A server that crashed with a claim.
        store.claim_delivery(Duration::ZERO, vec![]).await.unwrap().unwrap();
        let running = Running::start(&store, settings());
        running.wait_for("delivered", 2).await;
        assert_eq!(receiver.seen().len(), 2);
        running.stop().await;
    });
}

#[test]
fn two_servers_deliver_once() {
    on_each_database(|store| async move {
        let store = Arc::new(store);
        let receiver = Receiving::start(vec![]).await;
        webhook(&store, &receiver.url, None).await;
        let (one, two) = (Running::start(&store, settings()), Running::start(&store, settings()));
        for _ in 0..20 {
            announce(&store, "m").await;
        }
        receiver.wait_for(20).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(one.count("delivered") + two.count("delivered"), 20);
        one.stop().await;
        two.stop().await;
        let mut ids: Vec<String> =
            receiver.seen().iter().map(|seen| seen.header("x-mlflow-delivery-id").to_owned()).collect();
        assert_eq!(ids.len(), 20);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 20);
    });
}

#[test]
fn a_webhook_that_went_is_told_nothing() {
    on_each_database(|store| async move {
        let store = Arc::new(store);
        let receiver = Receiving::start(vec![]).await;
        let deleted = webhook(&store, &receiver.url, None).await;
        let disabled = webhook(&store, &receiver.url, None).await;
        announce(&store, "m").await;
        store.delete_webhook(deleted.into()).await.unwrap();
        let off = WebhookUpdate::try_from(message::<UpdateWebhook>(json!({"status": "DISABLED"}))).unwrap();
        store.update_webhook(disabled.into(), off).await.unwrap();
        let running = Running::start(&store, settings());
        running.wait_for("dropped", 2).await;
        assert!(receiver.seen().is_empty());
        running.stop().await;
    });
}

#[test]
fn private_addresses_are_not_connected_to() {
    on_each_database(|store| async move {
        let store = Arc::new(store);
        let receiver = Receiving::start(vec![]).await;
        let port = receiver.url.rsplit_once(':').unwrap().1.to_owned();
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"] {
            webhook(&store, &format!("http://{host}:{port}"), None).await;
        }
        let guarded = Settings { allow_private_ips: false, ..settings() };
        let running = Running::start(&store, guarded.clone());
        announce(&store, "m").await;
        running.wait_for("failed", 5).await;
        let attempts = &running.webhooks.counters.attempts;
        assert_eq!(attempts.with_label_values(&["none"]).get(), 5, "such a failure is final");
        assert!(receiver.seen().is_empty());
        running.stop().await;

        let request =
            json!({"name": "w", "url": receiver.url, "events": [{"entity": "PROMPT", "action": "CREATED"}]});
        let new = NewWebhook::try_from(message::<CreateWebhook>(request)).unwrap();
        let error = Webhooks::new(store, guarded).unwrap().create(new).await.unwrap_err();
        assert_eq!(
            error.message,
            "Webhook URL must not resolve to a non-public IP address. '127.0.0.1' resolves to 127.0.0.1."
        );
    });
}

#[test]
fn redirects_are_followed_to_allowed_places_only() {
    on_each_database(|store| async move {
        let store = Arc::new(store);
        let target = Receiving::start(vec![]).await;
        let line = |status: &str, to: &str| -> &'static str {
            Box::leak(format!("{status} Moved\r\nlocation: {to}").into_boxed_str())
        };
        let kept =
            Receiving::start(vec![Some(line("307", &target.url)), Some(line("302", &target.url))]).await;
        let secure = target.url.replace("http:", "https:");
        let refused = Receiving::start(vec![Some(line("307", &secure))]).await;
        let only_http = Settings { allowed_schemes: vec!["http".into()], ..settings() };
        let running = Running::start(&store, only_http);
        webhook(&store, &kept.url, None).await;
        announce(&store, "m").await;
        running.wait_for("delivered", 1).await;
        assert_eq!(target.seen()[0].line, "POST /hook HTTP/1.1");
        assert_eq!(target.seen()[0].body, kept.seen()[0].body);
        announce(&store, "m").await;
        running.wait_for("delivered", 2).await;
        assert_eq!(target.seen()[1].line, "GET /hook HTTP/1.1");
        webhook(&store, &refused.url, None).await;
        announce(&store, "m").await;
        running.wait_for("failed", 1).await;
        running.stop().await;
    });
}

#[test]
fn a_webhook_is_tried_out() {
    on_each_database(|store| async move {
        let store = Arc::new(store);
        let script = vec![Some("200 OK"), Some("500 No"), Some("201 OK"), Some("418 Teapot")];
        let receiver = Receiving::start(script).await;
        let id = webhook(&store, &receiver.url, None).await;
        let webhooks = Webhooks::new(Arc::clone(&store), settings()).unwrap();
        let result = webhooks.test(id.clone().into(), None).await.unwrap();
        assert_eq!((result.success, result.response_status), (Some(true), Some(200)));
        assert_eq!(result.response_body(), "there");
        let body: Value = serde_json::from_str(&receiver.seen()[0].body).unwrap();
        assert_eq!(body["data"], json!({"name": "example_model", "alias": "example_alias", "version": "1"}));
        let event = "prompt.created".parse().unwrap();
        let result = webhooks.test(id.clone().into(), Some(event)).await.unwrap();
        assert_eq!((result.success, result.response_status), (Some(true), Some(201)));
        assert!(receiver.seen()[2].body.contains("example_prompt"));
        let result = webhooks.test(id.clone().into(), None).await.unwrap();
        assert_eq!((result.success, result.response_status), (Some(false), Some(418)));

        let gone = webhook(&store, "http://127.0.0.1:1/", None).await;
        let result = webhooks.test(gone.into(), None).await.unwrap();
        assert_eq!((result.success, result.response_status), (Some(false), None));
        let shown = result.error_message();
        assert!(shown.starts_with("Failed to test webhook: ConnectionError("), "{shown}");
        assert!(!shown.contains("127.0.0.1:1/"), "{shown}");
        let guarded = Webhooks::new(store, Settings { allow_private_ips: false, ..settings() }).unwrap();
        let result = guarded.test(id.into(), None).await.unwrap();
        assert_eq!(
            result.error_message(),
            "Failed to test webhook: MlflowException(\"Webhook URL must not resolve to a non-public IP address. \
             '127.0.0.1' resolves to 127.0.0.1.\")"
        );
    });
}
