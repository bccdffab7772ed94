//! File downloads: content type, `Content-Disposition`, range requests and conditional requests. The bytes
//! are streamed; the handler has chosen the file.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ContentType, ETAG,
    HeaderMap, HeaderName, HttpDate, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use icu_normalizer::DecomposingNormalizerBorrowed;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::middleware::guard::was_head;
use crate::artifacts::{ArtifactPath, File, Folder, Stat, Wanted, mime};
use crate::domain::Result;

/// Which of stock's two ways of sending files is followed where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// The artifact proxy (starlette): a malformed range is 400.
    Proxy,
    /// The downloads of the user interface (werkzeug): `Cache-Control: no-cache`; a malformed range is 416.
    Page,
}

/// Answers `request` with the file at `path`, always as an attachment.
///
/// Differs: multiple ranges are answered with the whole file.
pub(super) async fn send(
    request: &HttpRequest,
    folder: &Folder,
    path: &ArtifactPath,
    sender: Sender,
) -> Result<HttpResponse> {
    let asks_for_less =
        [RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE].iter().any(|h| request.headers().contains_key(h));
    let wanted = if asks_for_less || was_head(request) { Wanted::Some } else { Wanted::All };
    let file = folder.open(path, wanted).await?;
    Ok(answer(request, file, path.file_name(), sender))
}

fn answer(request: &HttpRequest, file: File, file_name: &str, sender: Sender) -> HttpResponse {
    let (headers, stat) = (request.headers(), &file.stat);
    if is_known(headers, stat) {
        return described(HttpResponse::NotModified(), stat, file_name, sender).finish();
    }
    let size = stat.size_bytes;
    let (status, range) = match asked_range(headers, stat) {
        Asked::Whole => (StatusCode::OK, 0..size),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Malformed(text) if sender == Sender::Proxy => {
            return HttpResponse::BadRequest().content_type(ContentType::plaintext()).body(text);
        }
        Asked::Malformed(_) | Asked::Outside => return range_not_satisfiable(size),
    };
    let mut response = described(HttpResponse::build(status), stat, file_name, sender);
    response.insert_header((CONTENT_TYPE, mime::content_type(file_name)));
    if status == StatusCode::PARTIAL_CONTENT {
        response.insert_header((CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1)));
    }
    response.body(SizedStream::new(range.end - range.start, file.stream(range)))
}

/// Adds the headers of a file, which a 304 has too.
fn described(
    mut response: HttpResponseBuilder,
    stat: &Stat,
    file_name: &str,
    sender: Sender,
) -> HttpResponseBuilder {
    response
        .insert_header((CONTENT_DISPOSITION, attachment(file_name)))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((ETAG, format!("\"{}\"", stat.etag)));
    if let Some(modified) = stat.modified {
        response.insert_header((LAST_MODIFIED, HttpDate::from(modified)));
    }
    if sender == Sender::Page {
        response.insert_header((CACHE_CONTROL, "no-cache"));
    }
    response
}

fn range_not_satisfiable(size: u64) -> HttpResponse {
    HttpResponse::RangeNotSatisfiable()
        .insert_header((CONTENT_RANGE, format!("bytes */{size}")))
        .content_type(ContentType::plaintext())
        .finish()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Evaluates `If-None-Match`; `If-Modified-Since` only in its absence.
fn is_known(headers: &HeaderMap, stat: &Stat) -> bool {
    if let Some(tags) = text(headers, IF_NONE_MATCH) {
        return tags.split(',').map(str::trim).any(|tag| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag == "*" || tag.trim_matches('"') == stat.etag
        });
    }
    match (text(headers, IF_MODIFIED_SINCE).and_then(parse_date), stat.modified) {
        (Some(since), Some(modified)) => whole_seconds(modified) <= since,
        _ => false,
    }
}

fn parse_date(text: &str) -> Option<SystemTime> {
    text.parse::<HttpDate>().ok().map(SystemTime::from)
}

/// HTTP dates have whole seconds.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs())
}

/// Which part of a file a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    Outside,
    Malformed(&'static str),
}

fn asked_range(headers: &HeaderMap, stat: &Stat) -> Asked {
    let Some(range) = text(headers, RANGE) else { return Asked::Whole };
    if let Some(condition) = text(headers, IF_RANGE) {
        let is_same_date =
            || parse_date(condition).is_some() && parse_date(condition) == stat.modified.map(whole_seconds);
        if condition.trim_matches('"') != stat.etag && !is_same_date() {
            return Asked::Whole;
        }
    }
    parse_range(range, stat.size_bytes)
}

fn parse_range(header: &str, size: u64) -> Asked {
    let Some((unit, ranges)) = header.split_once('=') else {
        return Asked::Malformed("Malformed range header.");
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Asked::Malformed("Only support bytes range");
    }
    if ranges.contains(',') || size == 0 {
        return Asked::Whole;
    }
    let Some((first, last)) = ranges.split_once('-') else {
        return Asked::Malformed("Range header: range must be requested");
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => {
            return Asked::Malformed("Range header: start must be less than end");
        }
        (Some(first), Some(last)) => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.trim().is_empty() => first..size,
        (None, Some(length)) if first.trim().is_empty() => size.saturating_sub(length)..size,
        _ => return Asked::Malformed("Range header: range must be requested"),
    };
    if range.is_empty() { Asked::Outside } else { Asked::Part(range) }
}

/// Characters that need no escape in `filename*` (RFC 5987 `attr-char`).
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Returns the `Content-Disposition` of an attachment `file_name`; non-ASCII names come twice, for clients
/// that know only the plain form.
///
/// Upstream: `_content_disposition_attachment`.
fn attachment(file_name: &str) -> String {
    if file_name.is_ascii() {
        return format!("attachment; filename={}", quoted(file_name));
    }
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(file_name);
    let ascii: String = decomposed.chars().filter(char::is_ascii).collect();
    let ascii = if ascii.is_empty() { "download" } else { &ascii };
    let encoded = utf8_percent_encode(file_name, ATTRIBUTE);
    format!("attachment; filename={}; filename*=UTF-8''{encoded}", quoted(ascii))
}

/// Puts quotes around a header value that is no token. Upstream: `werkzeug.http.quote_header_value`.
fn quoted(value: &str) -> String {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !value.is_empty() && value.chars().all(is_token) {
        return value.to_owned();
    }
    // control characters are invalid in headers
    let value: String = value.chars().filter(|c| !c.is_control()).collect();
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    /// Expected values were taken from a running MLflow 3.17.2.
    #[test]
    fn attachments_are_named() {
        for (name, want) in [
            ("a.txt", "attachment; filename=a.txt"),
            ("b c.json", "attachment; filename=\"b c.json\""),
            ("a\"b\\c", "attachment; filename=\"a\\\"b\\\\c\""),
            ("é.csv", "attachment; filename=e.csv; filename*=UTF-8''%C3%A9.csv"),
            ("日本", "attachment; filename=download; filename*=UTF-8''%E6%97%A5%E6%9C%AC"),
            ("日 é.txt", "attachment; filename=\" e.txt\"; filename*=UTF-8''%E6%97%A5%20%C3%A9.txt"),
            ("", "attachment; filename=\"\""),
            ("x\r\nSet-Cookie: a", "attachment; filename=\"xSet-Cookie: a\""),
        ] {
            assert_eq!(attachment(name), want);
            HeaderValue::from_str(&attachment(name)).unwrap();
        }
    }

    #[test]
    fn ranges_are_read() {
        for (header, want) in [
            ("bytes=0-3", Asked::Part(0..4)),
            ("bytes=2-", Asked::Part(2..11)),
            ("bytes=-3", Asked::Part(8..11)),
            ("bytes=-100", Asked::Part(0..11)),
            ("bytes=0-100", Asked::Part(0..11)),
            ("BYTES = 1 - 2", Asked::Part(1..3)),
            ("bytes=10-10", Asked::Part(10..11)),
            ("bytes=0-18446744073709551615", Asked::Part(0..11)),
            ("bytes=11-", Asked::Outside),
            ("bytes=100-200", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=0-1,3-4", Asked::Whole),
            ("junk", Asked::Malformed("Malformed range header.")),
            ("items=0-1", Asked::Malformed("Only support bytes range")),
            ("bytes=5-2", Asked::Malformed("Range header: start must be less than end")),
            ("bytes=-", Asked::Malformed("Range header: range must be requested")),
            ("bytes=a-b", Asked::Malformed("Range header: range must be requested")),
            ("bytes=1-x", Asked::Malformed("Range header: range must be requested")),
            ("bytes=--1", Asked::Malformed("Range header: range must be requested")),
        ] {
            assert_eq!(parse_range(header, 11), want, "{header}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Asked::Whole);
    }

    fn stat() -> Stat {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        Stat { size_bytes: 11, modified: Some(modified), etag: "tag-1".into() }
    }

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_the_client_has_is_not_sent() {
        let (same, later) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Mon, 07 Nov 1994 00:00:00 GMT");
        let before = "Sun, 06 Nov 1994 08:49:36 GMT";
        for (pairs, want) in [
            (&[][..], false),
            (&[(IF_NONE_MATCH, "\"tag-1\"")], true),
            (&[(IF_NONE_MATCH, "W/\"tag-1\"")], true),
            (&[(IF_NONE_MATCH, "\"x\", \"tag-1\"")], true),
            (&[(IF_NONE_MATCH, "*")], true),
            (&[(IF_NONE_MATCH, "\"x\"")], false),
            (&[(IF_MODIFIED_SINCE, same)], true),
            (&[(IF_MODIFIED_SINCE, later)], true),
            (&[(IF_MODIFIED_SINCE, before)], false),
            (&[(IF_MODIFIED_SINCE, "nonsense")], false),
            (&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, later)], false),
        ] {
            assert_eq!(is_known(&headers(pairs), &stat()), want, "{pairs:?}");
        }
    }

    #[test]
    fn a_range_of_another_version_is_the_whole() {
        let part = Asked::Part(0..2);
        for (condition, want) in [
            ("\"tag-1\"", &part),
            ("\"tag-2\"", &Asked::Whole),
            ("Sun, 06 Nov 1994 08:49:37 GMT", &part),
            ("Mon, 07 Nov 1994 00:00:00 GMT", &Asked::Whole),
        ] {
            let headers = headers(&[(RANGE, "bytes=0-1"), (IF_RANGE, condition)]);
            assert_eq!(&asked_range(&headers, &stat()), want, "{condition}");
        }
    }
}
