//! The user interface: static files of stock's own build. Files with a precompressed copy beside them
//! (`x.js.br`, `x.js.gz`; `make ui` writes them) are sent compressed if `Accept-Encoding` allows.
//!
//! Upstream: `mlflow.server.serve`, `serve_static_file`.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_RANGE,
    ContentType, ETAG, EXPIRES, HeaderMap, HttpDate, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, RANGE, VARY,
};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};

use super::fallback;
use super::state::App;
use crate::artifacts::mime;

/// `max-age`: file names change with their content. As in stock.
const MAX_AGE: Duration = Duration::from_hours(28 * 24);
const INDEX: &str = "index.html";
const NO_UI: &str = "This server has no user interface: its files were not found.\n\n\
     `make ui` fetches them; the folder is ./ui, or what FERROFLOW_UI_DIR names.\n\
     The API works without them.\n";

/// `GET /`.
pub async fn get_index(app: App, request: HttpRequest) -> HttpResponse {
    let Some(dir) = &app.config.ui_dir else { return no_ui() };
    match File::find(dir, Path::new(INDEX), &request).await {
        Some(file) => file.answer(&request, Cache::Ask),
        None => no_ui(),
    }
}

/// `GET /static-files/{path}`.
pub async fn get_static_file(app: App, path: web::Path<String>, request: HttpRequest) -> HttpResponse {
    let (Some(dir), Some(path)) = (&app.config.ui_dir, inner_path(&path)) else {
        return fallback::not_found();
    };
    match File::find(dir, &path, &request).await {
        Some(file) => file.answer(&request, Cache::Keep),
        None => fallback::not_found(),
    }
}

fn no_ui() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body(NO_UI)
}

/// Returns `path` unless it is a path traversal.
fn inner_path(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let is_inner =
        !path.as_os_str().is_empty() && path.components().all(|c| matches!(c, Component::Normal(_)));
    is_inner.then(|| path.to_path_buf())
}

/// The cache policy of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cache {
    /// Revalidate each time.
    Ask,
    /// No revalidation.
    Keep,
}

/// A file that was read, in the encoding that will be sent.
struct File {
    content: Bytes,
    content_type: String,
    name: String,
    encoding: Option<&'static str>,
    modified: SystemTime,
}

impl File {
    /// Reads `path` below `dir`, compressed if the client takes that and there is such a copy.
    async fn find(dir: &Path, path: &Path, request: &HttpRequest) -> Option<Self> {
        let plain = dir.join(path);
        let name = file_name(path).into_owned();
        let wanted = request.headers().get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
        // Ranges count plain bytes.
        let has_range = request.headers().contains_key(RANGE);
        for (encoding, suffix) in [("br", ".br"), ("gzip", ".gz")] {
            if !has_range && accepts(wanted, encoding) {
                let mut copy = plain.clone().into_os_string();
                copy.push(suffix);
                if let Some((content, modified)) = read(Path::new(&copy)).await {
                    let content_type = content_type(path);
                    return Some(Self { content, content_type, name, encoding: Some(encoding), modified });
                }
            }
        }
        let (content, modified) = read(&plain).await?;
        Some(Self { content, content_type: content_type(path), name, encoding: None, modified })
    }

    fn etag(&self) -> String {
        let time = self.modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        format!("\"{time:x}-{:x}{}\"", self.content.len(), self.encoding.unwrap_or_default())
    }

    /// Responds with the file, a range of it, or 304.
    fn answer(self, request: &HttpRequest, cache: Cache) -> HttpResponse {
        let etag = self.etag();
        let headers = request.headers();
        let is_unchanged = is_unchanged(headers, &etag, self.modified);
        let range = if is_unchanged { Part::Whole } else { part(headers, &etag, self.content.len()) };
        let mut response = match range {
            _ if is_unchanged => HttpResponse::NotModified(),
            Part::Whole => HttpResponse::Ok(),
            Part::Of(..) => HttpResponse::PartialContent(),
            Part::Nowhere => {
                let mut response =
                    fallback::page(StatusCode::RANGE_NOT_SATISFIABLE, "The file has no such part.");
                let length = format!("bytes */{}", self.content.len());
                if let Ok(value) = length.try_into() {
                    response.headers_mut().insert(CONTENT_RANGE, value);
                }
                return response;
            }
        };
        response
            .insert_header((ETAG, etag))
            .insert_header((ACCEPT_RANGES, "bytes"))
            .insert_header((CONTENT_DISPOSITION, format!("inline; filename={}", self.name)));
        match cache {
            Cache::Ask => response.insert_header((CACHE_CONTROL, "no-cache")),
            Cache::Keep => response
                .insert_header((CACHE_CONTROL, format!("public, max-age={}", MAX_AGE.as_secs())))
                .insert_header((EXPIRES, HttpDate::from(SystemTime::now() + MAX_AGE))),
        };
        if is_unchanged {
            return response.finish();
        }
        response
            .content_type(self.content_type)
            .insert_header((LAST_MODIFIED, HttpDate::from(self.modified)));
        response.insert_header((VARY, "Accept-Encoding"));
        if let Some(encoding) = self.encoding {
            response.insert_header((CONTENT_ENCODING, encoding));
        }
        match range {
            Part::Of(first, last) => response
                .insert_header((CONTENT_RANGE, format!("bytes {first}-{last}/{}", self.content.len())))
                .body(self.content.slice(first..=last)),
            _ => response.body(self.content),
        }
    }
}

/// Reads a file whole: the largest of the interface has a few megabytes, and browsers keep what they got.
async fn read(path: &Path) -> Option<(Bytes, SystemTime)> {
    let meta = tokio::fs::metadata(path).await.ok().filter(std::fs::Metadata::is_file)?;
    let modified = meta.modified().unwrap_or(UNIX_EPOCH);
    Some((tokio::fs::read(path).await.ok()?.into(), modified))
}

fn file_name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

fn content_type(path: &Path) -> String {
    let kind = mime::guess(&file_name(path));
    if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind.to_owned() }
}

/// Says whether an `Accept-Encoding` takes `encoding`.
fn accepts(wanted: &str, encoding: &str) -> bool {
    wanted.split(',').any(|item| {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let quality = parameters.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case(encoding) && quality.is_none_or(|q| q > 0.0)
    })
}

fn is_unchanged(headers: &HeaderMap, etag: &str, modified: SystemTime) -> bool {
    if let Some(known) = headers.get(IF_NONE_MATCH) {
        let known = known.to_str().unwrap_or_default();
        return known.split(',').any(|tag| {
            matches!(tag.trim().trim_start_matches("W/"), "*") || tag.trim().trim_start_matches("W/") == etag
        });
    }
    let since = headers.get(IF_MODIFIED_SINCE).and_then(|v| v.to_str().ok()?.parse::<HttpDate>().ok());
    // HTTP dates have whole seconds.
    since.is_some_and(|since| modified < SystemTime::from(since) + Duration::from_secs(1))
}

/// The requested range of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// From the first to the last of these bytes.
    Of(usize, usize),
    /// Not satisfiable.
    Nowhere,
}

/// Reads a `Range` of one part; several parts, or what cannot be read, stand for the whole.
fn part(headers: &HeaderMap, etag: &str, length: usize) -> Part {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let Some(range) = text(RANGE) else { return Part::Whole };
    if text(IF_RANGE).is_some_and(|known| known != etag) {
        return Part::Whole;
    }
    let Some((from, to)) = range.strip_prefix("bytes=").and_then(|r| r.split_once('-')) else {
        return Part::Whole;
    };
    let (first, last) = match (from.trim().parse::<usize>(), to.trim()) {
        (Ok(first), "") => (first, usize::MAX),
        (Ok(first), to) => match to.parse() {
            Ok(last) if last >= first => (first, last),
            _ => return Part::Whole,
        },
        (Err(_), to) if from.trim().is_empty() => match to.parse::<usize>() {
            Ok(count) if count > 0 => (length.saturating_sub(count), usize::MAX),
            Ok(_) => return Part::Nowhere,
            Err(_) => return Part::Whole,
        },
        _ => return Part::Whole,
    };
    if first >= length { Part::Nowhere } else { Part::Of(first, last.min(length - 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_stock() {
        for (path, want) in [
            ("index.html", "text/html; charset=utf-8"),
            ("static/js/main.0a1b.js", "text/javascript; charset=utf-8"),
            ("favicon.ico", "image/vnd.microsoft.icon"),
            ("manifest.json", "application/json"),
            ("noending", "application/octet-stream"),
        ] {
            assert_eq!(content_type(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn paths_lead_inwards_only() {
        for (path, is_inner) in
            [("a/b.js", true), ("", false), ("..", false), ("a/../b", false), ("/etc", false), ("./a", false)]
        {
            assert_eq!(inner_path(path).is_some(), is_inner, "{path}");
        }
    }
}
