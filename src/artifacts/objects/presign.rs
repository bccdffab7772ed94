//! Direct access of clients to the store: presigned URLs, and multipart uploads whose parts are sent by such
//! URLs.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use object_store::multipart::PartId;
use object_store::path::Path as Key;
use object_store::signer::{HeaderValue, Method, SignedUrlOptions, Url};
use object_store::{Attribute, Attributes, GetOptions, PutMultipartOptions};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Kind, Objects, is_folder, key};
use crate::artifacts::{ArtifactPath, mime};
use crate::domain::{Error, ErrorCode, Result};

/// The lifetime of presigned part URLs: boto3's default.
const PART_TTL: Duration = Duration::from_hours(1);
/// The most parts that any of the stores takes.
const MAX_PARTS: i64 = 10_000;

/// The presigned URL of one part.
#[derive(Debug)]
pub struct PartUrl {
    /// From 1.
    pub number: i64,
    /// Where it goes.
    pub url: String,
}

/// A part that a client has sent.
#[derive(Debug)]
pub struct Part {
    /// From 1.
    pub number: i64,
    /// What the store answered.
    pub etag: String,
    /// Where it went.
    pub url: String,
}

/// A presigned download URL.
#[derive(Debug)]
pub struct PresignedDownload {
    /// Where it is.
    pub url: String,
    /// Its length.
    pub size_bytes: u64,
}

/// A presigned upload URL.
#[derive(Debug)]
pub struct PresignedUpload {
    /// Where it goes.
    pub url: String,
    /// Required headers.
    pub headers: Vec<(String, String)>,
}

impl Objects {
    pub(in crate::artifacts) async fn presign_download(
        &self,
        path: &ArtifactPath,
        ttl: Duration,
    ) -> Result<PresignedDownload> {
        if path.is_root() {
            return Err(is_folder(path));
        }
        let key = key(path)?;
        let look = GetOptions { head: true, ..GetOptions::default() };
        let found = self.store.get_opts(&key, look).await.map_err(|e| self.failure(&e, path))?;
        let disposition = attachment(path.file_name());
        let options = SignedUrlOptions::new().with_query([("response-content-disposition", disposition)]);
        let signed = self.signer.signed_url_opts(Method::GET, &key, ttl, &options).await;
        let url = signed.map_err(|e| self.failure(&e, path))?.into();
        Ok(PresignedDownload { url, size_bytes: found.meta.size })
    }

    /// Upstream: `create_presigned_upload_url`.
    pub(in crate::artifacts) async fn presign_upload(
        &self,
        path: &ArtifactPath,
        ttl: Duration,
    ) -> Result<PresignedUpload> {
        let mut said = self.upload_headers.clone();
        if !said.contains_key("content-type") {
            said.insert("content-type", HeaderValue::from_static(mime::guess(path.file_name())));
        }
        let mut options = SignedUrlOptions::new();
        let mut headers = Vec::new();
        for (name, value) in &said {
            options = options.with_signed_header(name.clone(), value.clone());
            let name = if name == "content-type" { "Content-Type" } else { name.as_str() };
            headers.push((name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
        let signed = self.signer.signed_url_opts(Method::PUT, &key(path)?, ttl, &options).await;
        let url = signed.map_err(|e| self.failure(&e, path))?.into();
        Ok(PresignedUpload { url, headers })
    }

    /// Begins a multipart upload; returns its id, if the store gives any, and the URLs.
    pub(in crate::artifacts) async fn create_multipart(
        &self,
        path: &ArtifactPath,
        parts: i64,
    ) -> Result<(Option<String>, Vec<PartUrl>)> {
        if parts > MAX_PARTS {
            return Err(Error::invalid(format!("A file can be uploaded in {MAX_PARTS} parts at most.")));
        }
        let key = key(path)?;
        let is_azure = self.kind == Kind::AzureBlobs;
        if !is_signed_rightly(self.kind, path.as_str()) {
            // the client library falls back to one upload
            return Err(Error::new(ErrorCode::NotImplemented, NO_MULTIPART));
        }
        let id = if is_azure { None } else { Some(self.begin(&key, path).await?) };
        let mut urls = Vec::new();
        for number in 1..=parts {
            let url = self.part_url(&key, id.as_deref(), number).await.map_err(|e| self.failure(&e, path));
            match (url, &id) {
                (Ok(url), _) => urls.push(PartUrl { number, url: url.into() }),
                (Err(error), Some(id)) => {
                    self.abort_multipart(path, id).await?;
                    return Err(error);
                }
                (Err(error), None) => return Err(error),
            }
        }
        Ok((id, urls))
    }

    async fn begin(&self, key: &Key, path: &ArtifactPath) -> Result<String> {
        let mut options = PutMultipartOptions::default();
        if !self.upload_headers.contains_key("content-type") {
            options.attributes =
                Attributes::from_iter([(Attribute::ContentType, mime::guess(path.file_name()))]);
        }
        let begun = self.multipart_writer.create_multipart_opts(key, options).await;
        begun.map_err(|e| self.failure(&e, path))
    }

    async fn part_url(&self, key: &Key, id: Option<&str>, number: i64) -> object_store::Result<Url> {
        let Some(id) = id else {
            let mut url = self.signer.signed_url(Method::PUT, key, PART_TTL).await?;
            let block = BASE64_STANDARD.encode(block_name(number));
            url.query_pairs_mut().append_pair("comp", "block").append_pair("blockid", &block);
            return Ok(url);
        };
        let query = [("partNumber", number.to_string()), ("uploadId", id.to_owned())];
        let options = SignedUrlOptions::new().with_query(query);
        self.signer.signed_url_opts(Method::PUT, key, PART_TTL, &options).await
    }

    /// Completes a client's multipart upload.
    ///
    /// Differs: gaps in part numbers are refused, where S3 would join the rest.
    pub(in crate::artifacts) async fn complete_multipart(
        &self,
        path: &ArtifactPath,
        id: &str,
        mut parts: Vec<Part>,
    ) -> Result<()> {
        parts.sort_by_key(|part| part.number);
        let is_whole = (1..).zip(&parts).all(|(number, part)| part.number == number);
        if parts.is_empty() || !is_whole {
            return Err(Error::invalid("The parts of an upload must be numbered from 1 without gaps."));
        }
        let is_azure = self.kind == Kind::AzureBlobs;
        let stored = parts
            .into_iter()
            .map(|part| PartId { content_id: if is_azure { block_name(part.number) } else { part.etag } });
        let made = self.multipart.complete_multipart(&key(path)?, &id.to_owned(), stored.collect()).await;
        made.map(drop).map_err(|e| self.multipart_failure(&e, path))
    }

    /// Aborts a multipart upload.
    pub(in crate::artifacts) async fn abort_multipart(&self, path: &ArtifactPath, id: &str) -> Result<()> {
        let gone = self.multipart.abort_multipart(&key(path)?, &id.to_owned()).await;
        gone.map_err(|e| self.multipart_failure(&e, path))
    }
}

/// On this the client library falls back to a single upload.
const NO_MULTIPART: &str = "Multipart upload is not supported for the current artifact repository";

/// Says whether `object_store` presigns the path as the store reads it. For Azure and Google it does no
/// percent-encoding, so a `%` or `?` in a name would be misread.
fn is_signed_rightly(kind: Kind, path: &str) -> bool {
    match kind {
        Kind::S3 => true,
        Kind::Google => !path.contains(['%', '?', '\\']) && !path.ends_with(' '),
        Kind::AzureBlobs | Kind::AzureLake => path.chars().all(is_plain),
    }
}

/// Says whether a character is unreserved in URLs.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~')
}

/// Azure has no upload ids but only block ids, which the client and this server must agree on.
///
/// Upstream: `mlflow_block_{i}`; all block ids of a blob must be of equal length.
fn block_name(number: i64) -> String {
    format!("mlflow_block_{number:05}")
}

/// Python's unreserved characters.
const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b'/');

/// Upstream: `_attachment_content_disposition`.
fn attachment(file_name: &str) -> String {
    let is_printable = file_name.chars().all(|c| c.is_ascii() && !c.is_ascii_control());
    if is_printable {
        return format!("attachment; filename=\"{}\"", file_name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(file_name, UNRESERVED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_signed_wrongly_is_not_signed() {
        for (path, kinds) in [
            ("a/b-c_d.e~f", &[Kind::S3, Kind::Google, Kind::AzureBlobs][..]),
            ("a/é 日+.txt", &[Kind::S3, Kind::Google]),
            ("100%", &[Kind::S3]),
            ("a?b", &[Kind::S3]),
            ("a\\b", &[Kind::S3]),
            ("a ", &[Kind::S3]),
        ] {
            for kind in [Kind::S3, Kind::Google, Kind::AzureBlobs] {
                assert_eq!(is_signed_rightly(kind, path), kinds.contains(&kind), "{kind:?} {path}");
            }
        }
    }

    #[test]
    fn downloads_are_saved_under_their_name() {
        for (name, want) in [
            ("a b.txt", r#"attachment; filename="a b.txt""#),
            (r#"q"\.txt"#, r#"attachment; filename="q\"\\.txt""#),
            ("é.txt", "attachment; filename*=UTF-8''%C3%A9.txt"),
        ] {
            assert_eq!(attachment(name), want);
        }
    }
}
