//! DNS resolution with an SSRF guard. What is checked is what is connected to: the same lookup serves the
//! check of a URL and, as the HTTP client's resolver, each connection, redirects included.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::domain::python;
use crate::domain::webhook::address::is_public;

/// Timeout of a lookup, and of waiting for a permit.
const PATIENCE: Duration = Duration::from_secs(5);
/// Concurrent lookups.
const AT_ONCE: usize = 8;

/// Looks up hosts.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    allow_private_ips: bool,
    turns: Arc<Semaphore>,
}

/// Why a host is refused. Its text is stock's.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Timed out behind other lookups.
    Busy(String),
    /// The lookup timed out.
    Slow(String),
    /// There is no such host.
    Unknown(String, String),
    /// The host has a private address.
    Private(String, IpAddr),
}

impl Refusal {
    /// Says whether a retry could succeed.
    pub(super) const fn may_pass(&self) -> bool {
        !matches!(self, Self::Private(..))
    }
}

impl Refusal {
    /// Formats it for stock's `subject`.
    pub(super) fn about(&self, subject: &str) -> String {
        match self {
            Self::Busy(host) => format!(
                "Timed out waiting to resolve {subject} hostname {} because too many hostname resolutions are \
                 already in progress",
                python::repr(host)
            ),
            Self::Slow(host) => format!(
                "Timed out resolving {subject} hostname {} after {} seconds",
                python::repr(host),
                PATIENCE.as_secs()
            ),
            Self::Unknown(host, cause) => {
                format!("Cannot resolve {subject} hostname {}: {cause}", python::repr(host))
            }
            Self::Private(host, address) => format!(
                "{subject} must not resolve to a non-public IP address. {} resolves to {address}.",
                python::repr(host)
            ),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.about("Webhook URL"))
    }
}

impl std::error::Error for Refusal {}

impl Lookup {
    pub(super) fn new(allow_private_ips: bool) -> Self {
        Self { allow_private_ips, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Returns the addresses of `host`; unless private ones are allowed, each of them is public.
    ///
    /// Upstream: `_validate_hostname_resolves_to_public_ips`.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, Refusal> {
        if !is_encodable(host) {
            let cause = "encoding with 'idna' codec failed (UnicodeError: label empty or too long)";
            return Err(Refusal::Unknown(host.into(), cause.into()));
        }
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Refusal::Busy(host.into())) };
        let name = host.to_owned();
        // The permit is released with the lookup, also after a timeout.
        let found = tokio::spawn(async move {
            let found = lookup_host((name, 0)).await.map(Iterator::collect::<Vec<_>>);
            drop(turn);
            found
        });
        let found = timeout(PATIENCE, found).await.map_err(|_late| Refusal::Slow(host.into()))?;
        let found = found.unwrap_or_else(|e| Err(io::Error::other(e)));
        let found = found.map_err(|e| Refusal::Unknown(host.into(), python_cause(&e)))?;
        found.iter().try_for_each(|address| self.check(host, address.ip()))?;
        Ok(found)
    }

    /// Refuses a private address, unless allowed.
    pub(super) fn check(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        if self.allow_private_ips || is_public(address) {
            return Ok(());
        }
        Err(Refusal::Private(host.into(), address))
    }
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.clone();
        Box::pin(async move {
            let found = lookup.addresses(name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Says whether Python would hand the host to the resolver at all.
fn is_encodable(host: &str) -> bool {
    let labels = host.strip_suffix('.').unwrap_or(host);
    host.contains(':') || labels.split('.').all(|label| (1..64).contains(&label.len()))
}

/// Formats a resolver error with its errno, as Python does.
fn python_cause(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(": ").map_or(text.as_str(), |(_, cause)| cause);
    let number = match text {
        "Name or service not known" => -2,
        "Temporary failure in name resolution" => -3,
        "Non-recoverable failure in name resolution" => -4,
        "No address associated with hostname" => -5,
        _ => return text.to_owned(),
    };
    format!("[Errno {number}] {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn private_addresses_are_refused_by_any_name() {
        for (host, want) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("::1", "::1"),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
            ("169.254.169.254", "169.254.169.254"),
        ] {
            let refusal = Lookup::new(false).addresses(host).await.unwrap_err();
            assert!(!refusal.may_pass());
            assert_eq!(
                refusal.to_string(),
                format!(
                    "Webhook URL must not resolve to a non-public IP address. '{host}' resolves to {want}."
                )
            );
            assert!(Lookup::new(true).addresses(host).await.is_ok());
        }
        let refusal = Lookup::new(false).addresses("localhost").await.unwrap_err();
        assert!(refusal.to_string().contains("'localhost' resolves to "), "{refusal}");
        assert!(Lookup::new(false).addresses("93.184.216.34").await.is_ok());
    }

    #[tokio::test]
    async fn unknown_hosts_are_refused_with_the_texts_of_stock() {
        let refusal = Lookup::new(true).addresses("a..b").await.unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "Cannot resolve Webhook URL hostname 'a..b': encoding with 'idna' codec failed (UnicodeError: label \
             empty or too long)"
        );
        let refusal = Lookup::new(true).addresses("does-not-exist.invalid").await.unwrap_err();
        assert!(refusal.may_pass());
        assert!(refusal.to_string().starts_with("Cannot resolve Webhook URL hostname"), "{refusal}");
    }
}
