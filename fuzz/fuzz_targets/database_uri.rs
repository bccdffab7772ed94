//! Database URIs: no message or other output contains a password, and no part of a URI injects another
//! connection parameter.
//!
//! The input's lines are the parts of a URI: the user, what the password has before and behind its secret,
//! and what follows the credentials. The first line is also parsed as a URI by itself.
#![no_main]

use ferroflow::store::uri::DatabaseUri;
use ferroflow_fuzz::{is_refusal, within};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "S3cr3t";

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (user, before, behind, tail) = (line(), line(), line(), line());
    if text.contains(SECRET) {
        return;
    }
    read(user);
    if user.contains([':', '/']) || (before.contains('@') && text.contains('?')) {
        // The secret would not be in a password, or its end would be ambiguous.
        return;
    }
    let in_front = format!("postgresql://{user}:{before}{SECRET}{behind}@{tail}");
    if !(behind.contains('@') && behind.contains('?')) {
        hides(&in_front);
    }
    let among_parameters =
        format!("postgresql://u@h/db?password={before}{SECRET}&sslpassword={SECRET}&{tail}");
    if !before.contains(['&', '#']) {
        hides(&among_parameters);
    }
    hides(&format!("mysql+pymysql://{user}:{SECRET}{behind}@{tail}"));
});

fn hides(uri: &str) {
    if let Some(parsed) = read(uri) {
        let shown = format!("{parsed} {parsed:?}");
        assert!(!shown.contains(SECRET), "{uri:?} is shown as {shown:?}");
    }
}

fn read(text: &str) -> Option<DatabaseUri> {
    match within(8192 + 128 * text.len(), || DatabaseUri::parse(text)) {
        Ok(uri) => {
            let conninfo = uri.conninfo();
            assert!(!conninfo.contains('\0'), "{text:?} became {conninfo:?}");
            if matches!(uri, DatabaseUri::Postgres(_)) {
                check_conninfo(&conninfo);
            }
            Some(uri)
        }
        Err(error) => {
            is_refusal(&error, text.len());
            assert!(!error.message.contains(SECRET), "{text:?} is refused with {error}");
            assert!(!error.message.contains(['\n', '\r']), "{text:?} is refused with {error}");
            None
        }
    }
}

/// Parses the text as libpq does: no duplicate parameters, lowercase names.
fn check_conninfo(text: &str) {
    let mut names = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, value) = rest.split_once("='").unwrap_or_else(|| panic!("{rest:?} of {text:?}"));
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{text:?}");
        assert!(!names.contains(&name), "{text:?}");
        names.push(name);
        let mut is_escaped = false;
        let is_end = |c: char| {
            let ends = c == '\'' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        };
        let end = value.find(is_end).unwrap_or_else(|| panic!("{text:?}"));
        rest = &value[end + 1..];
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
}
