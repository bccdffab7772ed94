//! SSRF guard for URLs. The host that it checks must be the one that the HTTP client connects to: an address,
//! which needs no resolver, is refused or seen by the guard.
#![no_main]

use std::net::IpAddr;

use ferroflow::domain::webhook::address::is_public;
use ferroflow::domain::webhook::url::{host_of, public_host_of};
use ferroflow_fuzz::{is_refusal, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let schemes = ["https".to_owned()];
    let most = 8192 + 64 * text.len();
    let found = within(most, || host_of(text, &schemes));
    let public = within(most, || public_host_of(text, "Icon URL", &schemes));
    match &found {
        Ok(host) => {
            assert!(!host.is_empty() && !host.contains(['/', '?', '#', '@', '\n']), "{host:?} of {text:?}");
            assert_eq!(*host, host.to_lowercase());
        }
        Err(error) => is_refusal(error, text.len()),
    }
    match &public {
        // It is the stricter of the two.
        Ok(host) => assert_eq!(found.as_ref().ok(), Some(host), "{text:?}"),
        Err(error) => is_refusal(error, text.len()),
    }
    if let Ok(host) = &public
        && let Ok(address) = host.parse::<IpAddr>()
    {
        // An IPv4-mapped address is judged as IPv4.
        if let IpAddr::V4(v4) = address {
            assert_eq!(is_public(address), is_public(v4.to_ipv6_mapped().into()), "{address}");
        }
        assert!(!(is_public(address) && (address.is_loopback() || address.is_unspecified())), "{address}");
        assert!(!(is_public(address) && address.is_multicast()), "{address}");
    }
});
