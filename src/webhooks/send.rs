//! One request to a webhook: its headers, its signature, and its SSRF guard.
//!
//! Upstream: `mlflow.webhooks.delivery._send_webhook_request`, `mlflow.webhooks.ssrf`.

use std::error::Error as StdError;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};

use super::Settings;
use super::lookup::{Lookup, Refusal};
use crate::domain::time::now_ms;
use crate::domain::webhook::fernet::hmac_sha256;
use crate::store::webhooks::Signing;

const SIGNATURE: &str = "x-mlflow-signature";
const TIMESTAMP: &str = "x-mlflow-timestamp";
const DELIVERY_ID: &str = "x-mlflow-delivery-id";
/// The signature's version.
const SIGNATURE_VERSION: &str = "v1";
/// The redirect limit.
const MAX_REDIRECTS: usize = 30;
/// Response bytes that are read.
const MAX_ANSWER: usize = 1024 * 1024;

/// The webhooks' HTTP client.
pub(super) struct Sender {
    /// Made for the first request: it loads all root certificates, which takes time and memory.
    client: OnceLock<Client>,
    guard: Guard,
    timeout: Duration,
}

/// A request to be made.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    pub(super) delivery_id: &'a str,
    pub(super) url: &'a str,
    pub(super) signing: &'a Signing,
    pub(super) body: &'a str,
}

/// A receiver's response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// From the header `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: String,
}

/// A failed request.
pub(super) struct Failure {
    /// Python's name for it.
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// Whether it is retryable.
    pub(super) may_pass: bool,
}

impl Failure {
    /// A failure that is not retried.
    pub(super) const fn refused(kind: &'static str, message: String) -> Self {
        Self { kind, message, may_pass: false }
    }
}

/// SSRF guard for requests and redirects. Host names are checked when they are resolved.
#[derive(Clone)]
struct Guard {
    schemes: Vec<String>,
    lookup: Lookup,
}

impl Guard {
    fn check(&self, url: &Url) -> Result<(), Box<dyn StdError + Send + Sync>> {
        if !self.schemes.iter().any(|scheme| scheme == url.scheme()) {
            return Err(Box::new(SchemeRefused(url.scheme().to_owned())));
        }
        let address = match url.host() {
            Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
            Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
            _ => return Ok(()),
        };
        Ok(self.lookup.check(&address.to_string(), address)?)
    }
}

#[derive(Debug)]
struct SchemeRefused(String);

impl std::fmt::Display for SchemeRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the scheme {} is not allowed", self.0)
    }
}

impl StdError for SchemeRefused {}

impl Sender {
    pub(super) fn new(settings: &Settings, lookup: Lookup) -> Self {
        let guard = Guard { schemes: settings.allowed_schemes.clone(), lookup };
        Self { client: OnceLock::new(), guard, timeout: settings.request_timeout }
    }

    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.build().map_err(|e| failure(&e))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Makes a client without a connection pool: reuse would bypass the address check.
    fn build(&self) -> reqwest::Result<Client> {
        let of_redirects = self.guard.clone();
        let redirects = redirect::Policy::custom(move |hop| {
            if hop.previous().len() > MAX_REDIRECTS {
                return hop.error("too many redirects");
            }
            match of_redirects.check(hop.url()) {
                Ok(()) => hop.follow(),
                Err(refusal) => hop.error(refusal),
            }
        });
        Client::builder()
            .dns_resolver(Arc::new(self.guard.lookup.clone()))
            // A proxy would connect in our place, past the SSRF guard.
            .no_proxy()
            .redirect(redirects)
            .referer(false)
            .pool_max_idle_per_host(0)
            .timeout(self.timeout)
            .user_agent(concat!("ferroflow/", env!("CARGO_PKG_VERSION")))
            .build()
    }

    /// Makes the request once.
    pub(super) async fn send(&self, sending: &Sending<'_>) -> Result<Answer, Failure> {
        let url = Url::parse(sending.url).map_err(|e| Failure::refused("InvalidURL", e.to_string()))?;
        self.guard.check(&url).map_err(|e| Failure::refused("SSRFProtectionError", e.to_string()))?;
        let headers = headers(sending, now_ms() / 1000)?;
        let request = self.client()?.post(url).headers(headers).body(sending.body.to_owned());
        let response = request.send().await.map_err(|e| failure(&e))?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
        let body = read(response).await.map_err(|e| failure(&e))?;
        Ok(Answer { status, retry_after, body })
    }
}

/// Returns the request headers at `now`, in seconds. A retry is signed anew, so that receivers that reject
/// old signatures take it; the id stays.
fn headers(sending: &Sending<'_>, now: i64) -> Result<HeaderMap, Failure> {
    let wrong = |e: &dyn StdError| Failure::refused("ValueError", e.to_string());
    let now = now.to_string();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(DELIVERY_ID, HeaderValue::from_str(sending.delivery_id).map_err(|e| wrong(&e))?);
    headers.insert(TIMESTAMP, HeaderValue::from_str(&now).map_err(|e| wrong(&e))?);
    match sending.signing {
        Signing::Off => {}
        Signing::With(secret) => {
            let signed = format!("{}.{now}.{}", sending.delivery_id, sending.body);
            let mac = hmac_sha256(secret.as_bytes(), signed.as_bytes()).map_err(|e| wrong(&e))?;
            let signature = format!("{SIGNATURE_VERSION},{}", STANDARD.encode(mac));
            headers.insert(SIGNATURE, HeaderValue::from_str(&signature).map_err(|e| wrong(&e))?);
        }
        Signing::Unreadable => {
            return Err(Failure::refused(
                "InvalidToken",
                "the webhook's secret was encrypted with another key than \
                 MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY; give the webhook a new secret or set the old key"
                    .into(),
            ));
        }
    }
    Ok(headers)
}

/// Parses seconds or an HTTP date.
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Reads a response up to the limit.
async fn read(mut response: Response) -> reqwest::Result<String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_ANSWER - body.len();
        body.extend(chunk.iter().take(room));
        if body.len() == MAX_ANSWER {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Describes an error without its URL, which may hold a secret.
fn failure(error: &reqwest::Error) -> Failure {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        if let Some(refusal) = next.downcast_ref::<Refusal>() {
            let kind = if refusal.may_pass() { "ConnectionError" } else { "SSRFProtectionError" };
            return Failure { kind, message: refusal.to_string(), may_pass: refusal.may_pass() };
        }
        causes.push(next.to_string());
        cause = next.source();
    }
    causes.dedup();
    let message = causes.join(": ");
    if error.is_redirect() {
        return Failure::refused("TooManyRedirects", message);
    }
    let kind = if error.is_timeout() { "Timeout" } else { "ConnectionError" };
    Failure { kind, message, may_pass: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_stock_does() {
        let signing = Signing::With("s3cr3t".into());
        let sending = Sending { delivery_id: "d-1", url: "https://h", signing: &signing, body: "{\"a\": 1}" };
        let headers = headers(&sending, 1_700_000_000).ok().unwrap();
        assert_eq!(headers[DELIVERY_ID], "d-1");
        assert_eq!(headers[TIMESTAMP], "1700000000");
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert_eq!(headers[SIGNATURE], "v1,YLiF/mt4EW3rXgrVC0OyPc7r/DFYV2DleqhMPBoUf/k=");
    }

    #[test]
    fn reads_waits() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let wait = retry_after(&later).unwrap();
        assert!(Duration::from_secs(95) < wait && wait <= Duration::from_secs(100), "{wait:?}");
    }
}
