//! Page tokens: how far a client has read. Experiments, runs, registered models and traces share the offset token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::python::{bytes_repr, json_repr, parse_int};
use super::{Error, Result};

/// Returns the token of the page that begins behind `offset` results: base64 of `{"offset": 1}`.
///
/// Upstream: `SearchUtils.create_page_token`.
pub fn offset_token(offset: i64) -> String {
    encode(&format!("{{\"offset\": {offset}}}"))
}

/// Writes the JSON of a token as the token.
pub(super) fn encode(json: &str) -> String {
    STANDARD.encode(json)
}

/// Returns where the page of `token` begins; without a token or with an empty one that is 0. Never negative.
///
/// Upstream: `SearchUtils.parse_start_offset_from_page_token`. Differs: tokens over which stock's parser breaks (no
/// JSON object, an offset that is a list) are refused like other bad tokens, not with a 500.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for anything that is no token.
pub fn parse_offset_token(token: Option<&str>) -> Result<i64> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(0) };
    let decoded = decode(token)?;
    let Ok(parsed) = serde_json::from_slice::<Value>(&decoded) else {
        return Err(Error::invalid(format!("Invalid page token, decoded value={}", bytes_repr(&decoded))));
    };
    let offset = match parsed.get("offset") {
        Some(Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_f64().map(whole_part)).filter(|offset| *offset != 0)
        }
        Some(Value::Bool(true)) => Some(1),
        Some(Value::String(text)) if !text.is_empty() => {
            let not_a_number = || Error::invalid(format!("Invalid page token, not stringable {text}"));
            Some(parse_int(text).ok_or_else(not_a_number)?)
        }
        _ => None,
    };
    let offset = offset
        .ok_or_else(|| Error::invalid(format!("Invalid page token, parsed value={}", json_repr(&parsed))))?;
    Ok(offset.max(0))
}

/// Decodes base64 as Python does: characters outside its alphabet are skipped, as is what follows a complete end.
pub(super) fn decode(token: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(token.len() / 4 * 3 + 3);
    let (mut left, mut taken, mut pads) = (0, 0_u8, 0);
    for c in token.bytes() {
        if c == b'=' && taken >= 2 {
            pads += 1;
            if taken + pads >= 4 {
                return Ok(bytes);
            }
        }
        let Some(bits) = six_bits(c) else { continue };
        pads = 0;
        match taken {
            0 => {}
            1 => bytes.push(left << 2 | bits >> 4),
            2 => bytes.push(left << 4 | bits >> 2),
            _ => bytes.push(left << 6 | bits),
        }
        left = bits;
        taken = (taken + 1) % 4;
    }
    if taken == 0 { Ok(bytes) } else { Err(Error::invalid("Invalid page token, could not base64-decode")) }
}

fn six_bits(c: u8) -> Option<u8> {
    match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates, as wanted of an offset")]
fn whole_part(number: f64) -> i64 {
    number as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_those_of_stock() {
        assert_eq!(offset_token(1), "eyJvZmZzZXQiOiAxfQ==");
        assert_eq!(offset_token(50_000), encode("{\"offset\": 50000}"));
    }

    #[test]
    fn reads_what_stock_reads() {
        for (token, want) in [
            (None, 0),
            (Some(String::new()), 0),
            (Some(encode("{\"offset\": \"5\"}")), 5),
            (Some(encode("{\"offset\": 1.5}")), 1),
            (Some(encode("{\"offset\": true}")), 1),
            (Some(encode("{\"offset\": -5}")), 0),
            (Some(" eyJvZmZzZXQiOiAxfQ== \n".into()), 1),
            (Some("eyJv!ZmZzZXQiOiAxfQ==".into()), 1),
            (Some("eyJvZmZzZXQiOiAxfQ==eyJvZmZzZXQiOiAxfQ==".into()), 1),
            (Some("=ey=JvZmZzZXQiOiAxfQ==".into()), 1),
            (Some("eyJvZmZzZXQiOiAxfR==".into()), 1),
        ] {
            assert_eq!(parse_offset_token(token.as_deref()).unwrap(), want, "{token:?}");
        }
    }

    #[test]
    fn refuses_with_the_texts_of_stock() {
        for (token, want) in [
            ("x".into(), "Invalid page token, could not base64-decode"),
            ("abc".into(), "Invalid page token, could not base64-decode"),
            ("eyJvZmZzZXQiOiAxfQ".into(), "Invalid page token, could not base64-decode"),
            ("abcd".into(), "Invalid page token, decoded value=b'i\\xb7\\x1d'"),
            ("eyJvZmZzZXQiOiAxfQ=".into(), "Invalid page token, could not base64-decode"),
            ("eyJvZmZzZXQiOiAxfQ=a=".into(), "Invalid page token, decoded value=b'{\"offset\": 1}\\x06'"),
            ("====".into(), "Invalid page token, decoded value=b''"),
            ("!!".into(), "Invalid page token, decoded value=b''"),
            (encode("{\"offset\": 0}"), "Invalid page token, parsed value={'offset': 0}"),
            (encode("{\"a\": null}"), "Invalid page token, parsed value={'a': None}"),
            (encode("{\"offset\": \"x\"}"), "Invalid page token, not stringable x"),
        ] {
            assert_eq!(parse_offset_token(Some(&token)).unwrap_err().message, want, "{token}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(offset in 1_i64..) {
            prop_assert_eq!(parse_offset_token(Some(&offset_token(offset))).unwrap(), offset);
        }

        #[test]
        fn never_panics(token in ".*") {
            let _parsed = parse_offset_token(Some(&token));
        }
    }
}
