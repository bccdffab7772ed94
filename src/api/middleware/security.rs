//! Access rules: the check of the `Host` header against DNS rebinding, the check of the `Origin` header
//! against cross-site requests, CORS, and the security headers.
//!
//! Upstream: `mlflow.server.fastapi_security`, `security_utils`; the order of the checks is stock's: Host,
//! preflight, Origin, handler.

use std::rc::Rc;

use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HOST, HeaderMap, HeaderValue, ORIGIN,
    VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{Error as ActixError, HttpResponse};
use futures_util::future::Either;
use tracing::warn;

use super::PROBES;
use super::pattern::Pattern;
use crate::config::{Config, Security};

/// The rules, parsed from the settings.
#[derive(Debug)]
pub struct Rules {
    /// `None` lets every host in.
    hosts: Option<Vec<Pattern>>,
    origins: Origins,
    frame_options: Option<HeaderValue>,
    static_prefix: String,
}

#[derive(Debug)]
enum Origins {
    /// Any origin, without credentials.
    Any,
    /// Localhost and listed origins.
    Listed(Vec<Pattern>),
}

/// The decision before a handler is called.
enum Verdict {
    Pass,
    /// 403 without any further header.
    RefuseHost,
    /// 403 with the CORS headers.
    RefuseOrigin,
    /// The response to a CORS preflight.
    Preflight,
}

const METHODS: &str = "GET, POST, PUT, DELETE, OPTIONS, PATCH";
const ANY_METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY";
const PREFLIGHT_VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, \
                              Access-Control-Request-Private-Network";
const INVALID_HOST: &str = "Invalid Host header - possible DNS rebinding attack detected";
const BLOCKED_ORIGIN: &str = "Cross-origin request blocked";
/// These may be framed, by notebooks.
const FRAMEABLE: &str = "/static-files/lib/notebook-trace-renderer";
/// Served without the prefix too.
const ARTIFACTS: [&str; 2] =
    ["/api/2.0/mlflow-artifacts/artifacts", "/ajax-api/2.0/mlflow-artifacts/artifacts"];

/// Asks `rules` about `request`, passes it on or refuses it, and sets the headers of the answer. No rules,
/// no checks.
pub fn call<S>(
    rules: Option<&Rc<Rules>>,
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, ActixError>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = ActixError>,
{
    let Some(rules) = rules else { return Either::Left(service.call(request)) };
    let refusal = match rules.judge(&request) {
        Verdict::Pass => {
            let seen = Seen::of(&request, rules);
            let answer = service.call(request);
            return Either::Right(Either::Left(async move {
                match answer.await {
                    Ok(mut response) => {
                        seen.finish(response.response_mut());
                        Ok(response)
                    }
                    // Only a panic ends here; see `guard`.
                    Err(mut error) => {
                        error.add_response_mapper(move |mut response| {
                            seen.finish(&mut response);
                            response
                        });
                        Err(error)
                    }
                }
            }));
        }
        Verdict::RefuseHost => forbidden(INVALID_HOST),
        Verdict::RefuseOrigin => {
            let mut response = forbidden(BLOCKED_ORIGIN);
            rules.set_cors(request.headers().get(ORIGIN), response.headers_mut());
            response
        }
        Verdict::Preflight => rules.preflight(request.headers()),
    };
    Either::Right(Either::Right(std::future::ready(Ok(request.into_response(refusal)))))
}

/// What the answer's headers depend on, kept while the handler works.
struct Seen {
    rules: Rc<Rules>,
    origin: Option<HeaderValue>,
    is_frameable: bool,
    is_api_options: bool,
}

impl Seen {
    fn of(request: &ServiceRequest, rules: &Rc<Rules>) -> Self {
        let path = request.match_info().as_str();
        Self {
            rules: Rc::clone(rules),
            origin: request.headers().get(ORIGIN).cloned(),
            is_frameable: path.starts_with(FRAMEABLE),
            is_api_options: request.method() == Method::OPTIONS && rules.is_api(path),
        }
    }

    fn finish(&self, response: &mut HttpResponse) {
        if self.is_api_options && response.status() == StatusCode::OK {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let (Some(value), false) = (&self.rules.frame_options, self.is_frameable) {
            headers.insert(X_FRAME_OPTIONS, value.clone());
        }
        self.rules.set_cors(self.origin.as_ref(), headers);
    }
}

impl Rules {
    /// Makes the rules from the settings; `None` when they are switched off.
    pub fn new(config: &Config) -> Option<Self> {
        let Security { allowed_hosts, cors_allowed_origins, x_frame_options } = config.security.as_ref()?;
        let is_any = |list: &[String]| list.iter().any(|item| item == "*");
        let patterns = |list: &[String]| list.iter().map(|text| Pattern::new(text)).collect::<Vec<_>>();
        Some(Self {
            hosts: match allowed_hosts.as_slice() {
                [] => Some(default_hosts()),
                list if is_any(list) => None,
                list => Some(patterns(list)),
            },
            origins: if is_any(cors_allowed_origins) {
                Origins::Any
            } else {
                Origins::Listed(patterns(cors_allowed_origins))
            },
            frame_options: x_frame_options.as_ref().and_then(|value| HeaderValue::from_str(value).ok()),
            static_prefix: config.static_prefix.clone(),
        })
    }

    fn judge(&self, request: &ServiceRequest) -> Verdict {
        let headers = request.headers();
        // The decoded path, as the router sees it: %61pi is api.
        let path = request.match_info().as_str();
        let host = text(headers.get(HOST));
        if !self.allows_host(host) && !self.is_health(path) {
            warn!(host, "refused a request for an unknown host");
            return Verdict::RefuseHost;
        }
        let Some(origin) = headers.get(ORIGIN) else { return Verdict::Pass };
        let method = request.method();
        if method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return Verdict::Preflight;
        }
        let is_change = [Method::POST, Method::PUT, Method::DELETE, Method::PATCH].contains(method);
        if is_change && !origin.is_empty() && self.is_api(path) && !self.may_call(text(Some(origin))) {
            warn!(origin = text(Some(origin)), "refused a write from a foreign website");
            return Verdict::RefuseOrigin;
        }
        Verdict::Pass
    }

    fn allows_host(&self, host: &str) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| !host.is_empty() && hosts.iter().any(|p| p.matches_host(host)))
    }

    fn is_health(&self, path: &str) -> bool {
        PROBES.contains(&path.strip_prefix(&self.static_prefix).unwrap_or(path))
    }

    fn is_api(&self, path: &str) -> bool {
        let inner = path.strip_prefix(&self.static_prefix).unwrap_or_default();
        inner.starts_with("/api/")
            || inner.starts_with("/ajax-api/")
            || ARTIFACTS.iter().any(|prefix| path.starts_with(prefix))
    }

    /// Says whether `origin` may call: localhost and the listed ones.
    ///
    /// Upstream: `should_block_cors_request`. Differs: the same origins may read responses. Of those stock
    /// lets only localhost by http and the ones listed without a wildcard read, so that others pass the check
    /// but not the preflight.
    fn may_call(&self, origin: &str) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Listed(list) => is_local(origin) || list.iter().any(|p| p.matches_origin(origin)),
        }
    }

    fn set_cors(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin else { return };
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        self.set_allowed_origin(origin, headers);
    }

    fn set_allowed_origin(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        if matches!(self.origins, Origins::Any) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return;
        }
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if self.may_call(text(Some(origin))) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }

    /// Answers a CORS preflight request.
    fn preflight(&self, asked: &HeaderMap) -> HttpResponse {
        let methods = if matches!(self.origins, Origins::Any) { ANY_METHODS } else { METHODS };
        let method = text(asked.get(ACCESS_CONTROL_REQUEST_METHOD));
        let failures: Vec<_> = [
            (!self.may_call(text(asked.get(ORIGIN))), "origin"),
            (!methods.split(", ").any(|name| name == method), "method"),
            (asked.contains_key("access-control-request-private-network"), "private-network"),
        ]
        .into_iter()
        .filter_map(|(has_failed, name)| has_failed.then_some(name))
        .collect();
        let (status, body) = if failures.is_empty() {
            (StatusCode::OK, "OK".to_owned())
        } else {
            (StatusCode::BAD_REQUEST, format!("Disallowed CORS {}", failures.join(", ")))
        };
        let mut response = HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(body);
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static(PREFLIGHT_VARY));
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        if let Some(origin) = asked.get(ORIGIN) {
            self.set_allowed_origin(origin, headers);
        }
        response
    }
}

fn forbidden(text: &'static str) -> HttpResponse {
    HttpResponse::Forbidden().content_type("text/plain").body(text)
}

/// A header as text; what is not ASCII matches nothing.
fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Upstream: `get_default_allowed_hosts`.
fn default_hosts() -> Vec<Pattern> {
    let local = ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"];
    let private = ["192.168.*", "10.*", "fc00:*", "fd00:*"];
    let middle = (16..32).map(|i| Pattern::new(&format!("172.{i}.*")));
    local.into_iter().chain(private).map(Pattern::new).chain(middle).collect()
}

/// Upstream: `is_localhost_origin`, whatever the scheme.
fn is_local(origin: &str) -> bool {
    let Some((_scheme, rest)) = origin.split_once("//") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(address) => address.split(']').next(),
        None => host.split(':').next(),
    };
    matches!(name.unwrap_or_default().to_ascii_lowercase().as_str(), "localhost" | "127.0.0.1" | "::1")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn rules(hosts: &[&str], origins: &[&str]) -> Rules {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        let security =
            Security { allowed_hosts: own(hosts), cors_allowed_origins: own(origins), x_frame_options: None };
        Rules::new(&Config { security: Some(security), static_prefix: "/p".into(), ..Config::default() })
            .unwrap()
    }

    #[test]
    fn hosts_allowed_without_settings_are_local_and_private() {
        let rules = rules(&[], &[]);
        for (host, want) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:9", true),
            ("[::1]:21000", true),
            ("0.0.0.0:1", true),
            ("10.0.0.5:5000", true),
            ("192.168.1.9", true),
            ("172.16.0.1", true),
            ("172.31.0.1:80", true),
            ("fd00:1::1", true),
            ("172.32.0.1", false),
            ("172.15.0.1", false),
            ("myhost:5000", false),
            ("evil.com", false),
            ("localhost.evil.com", false),
            ("127.0.0.1.evil.com", false),
            ("10.evil.com", false),
            ("192.168.evil.com:5000", false),
            ("172.16.evil.com", false),
            ("", false),
        ] {
            assert_eq!(rules.allows_host(host), want, "{host}");
        }
    }

    #[test]
    fn listed_hosts_replace_the_default() {
        let listed = rules(&["mlflow.corp.com", "*.lab.corp.com:*", "host-?.x*"], &[]);
        for (host, want) in [
            ("mlflow.corp.com", true),
            ("a.lab.corp.com:80", true),
            ("host-1.xyz", true),
            ("a.lab.corp.com", false),
            ("MLflow.corp.com:5000", true),
            ("mlflow.corp.com.evil:5000", false),
            ("host-11.xyz", false),
            ("localhost", false),
        ] {
            assert_eq!(listed.allows_host(host), want, "{host}");
        }
        assert!(rules(&["a", "*"], &[]).allows_host("anything"));
    }

    #[test]
    fn origins_that_may_call() {
        let rules = rules(&[], &["https://app.corp.com", "https://*.lab.com", "http://10.*"]);
        for (origin, want) in [
            ("http://localhost:3000", true),
            ("http://127.0.0.1", true),
            ("http://[::1]:3000", true),
            ("https://localhost:3000", true),
            ("https://app.corp.com", true),
            ("https://a.lab.com", true),
            ("http://10.1.2.3:3000", true),
            ("http://app.corp.com", false),
            ("http://localhost.evil.com", false),
            ("http://10.evil.com", false),
            ("http://evil.com", false),
            ("http://evil.com/localhost", false),
            ("null", false),
        ] {
            assert_eq!(rules.may_call(origin), want, "{origin}");
        }
    }

    /// Decisions about a page's preflight, and about the request itself.
    #[test]
    fn the_question_before_a_request_is_answered_as_the_request() {
        let rules = rules(&[], &["https://app.corp.com", "https://*.lab.com"]);
        for (origin, want) in
            [("https://app.corp.com", true), ("https://a.lab.com", true), ("https://evil.com", false)]
        {
            let asked = TestRequest::default()
                .uri("/p/api/2.0/mlflow/runs/create")
                .method(Method::OPTIONS)
                .insert_header((ORIGIN, origin))
                .insert_header((ACCESS_CONTROL_REQUEST_METHOD, "POST"))
                .insert_header((HOST, "localhost:5000"));
            let answer = rules.preflight(asked.to_srv_request().headers());
            assert_eq!(answer.status().is_success(), want, "{origin}");
            let allowed =
                answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
            assert_eq!(allowed, want.then_some(origin));
            let sent = TestRequest::default()
                .uri("/p/api/2.0/mlflow/runs/create")
                .method(Method::POST)
                .insert_header((ORIGIN, origin))
                .insert_header((HOST, "localhost:5000"));
            assert_eq!(matches!(rules.judge(&sent.to_srv_request()), Verdict::Pass), want, "{origin}");
        }
    }

    #[test]
    fn the_api_begins_after_the_prefix() {
        let rules = rules(&[], &[]);
        for (path, is_api, is_health) in [
            ("/p/api/2.0/x", true, false),
            ("/p/ajax-api/3.0/x", true, false),
            ("/api/2.0/mlflow-artifacts/artifacts/x", true, false),
            ("/api/2.0/x", false, false),
            ("/p/graphql", false, false),
            ("/p/health", false, true),
            ("/p/version", false, true),
            ("/health", false, true),
            ("/ready", false, true),
            ("/p/p/health", false, false),
        ] {
            assert_eq!((rules.is_api(path), rules.is_health(path)), (is_api, is_health), "{path}");
        }
    }
}
