//! S3 region redirects: a bucket may be in another region than the configured one. S3 names it; that request
//! and all later ones are signed again and sent there.
//!
//! Upstream: botocore's `S3RegionRedirector`.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use object_store::CredentialProvider;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse};
use object_store::path::Path as Key;
use object_store::signer::{Method, SignedUrlOptions, Signer, Url};

use super::Pending;

/// The header of an error response that names the right one.
const REGION_HEADER: &str = "x-amz-bucket-region";
const DIGEST_HEADER: &str = "x-amz-content-sha256";

type Credentials = dyn CredentialProvider<Credential = AwsCredential>;

/// The configured region of a bucket, and the actual one.
#[derive(Debug)]
pub(super) struct Region {
    configured: String,
    found: OnceLock<String>,
    /// Weak: the credential provider may itself hold the client that follows regions (a cycle).
    credentials: OnceLock<Weak<Credentials>>,
}

impl Region {
    pub(super) fn new(configured: String) -> Arc<Self> {
        Arc::new(Self { configured, found: OnceLock::new(), credentials: OnceLock::new() })
    }

    /// Sends a request to the bucket's region.
    pub(super) async fn send(
        &self,
        client: &HttpClient,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        if let Some(region) = self.found.get() {
            return client.execute(self.moved(request, region).await?).await;
        }
        let again = request.clone();
        let response = client.execute(request).await?;
        match self.find(&response) {
            Some(region) => client.execute(self.moved(again, region).await?).await,
            None => Ok(response),
        }
    }

    /// Reads the region from a redirect or error.
    fn find(&self, response: &HttpResponse) -> Option<&String> {
        let said = response.headers().get(REGION_HEADER)?.to_str().ok()?;
        // it becomes part of a host
        let is_name = said.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !matches!(response.status().as_u16(), 301 | 400)
            || said == self.configured
            || said.is_empty()
            || !is_name
        {
            return None;
        }
        tracing::info!("a bucket configured to be in {} is in {said}", self.configured);
        Some(self.found.get_or_init(|| said.to_owned()))
    }

    /// Retargets and re-signs a request. Same digest.
    async fn moved(&self, mut request: HttpRequest, region: &str) -> Result<HttpRequest, HttpError> {
        let wrong = |error| HttpError::new_boxed(HttpErrorKind::Request, error);
        let mut parts = request.uri().clone().into_parts();
        if let Some(host) = &parts.authority {
            let host = moved_host(host.as_str(), &self.configured, region);
            parts.authority = Some(host.parse().map_err(|e| wrong(Box::new(e)))?);
        }
        *request.uri_mut() = parts.try_into().map_err(|e| wrong(Box::new(e)))?;
        let signature = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if !signature.is_some_and(|value| value.starts_with("AWS4-")) {
            return Ok(request);
        }
        let credentials = self.credentials.get().and_then(Weak::upgrade);
        let credentials = credentials.ok_or_else(|| wrong("the bucket is closed".into()))?;
        let credential = credentials.get_credential().await.map_err(|e| wrong(Box::new(e)))?;
        let digest = request.headers().get(DIGEST_HEADER).and_then(|value| from_hex(value.as_bytes()));
        AwsAuthorizer::new(&credential, "s3", region)
            .with_sign_payload(digest.is_some())
            .try_authorize(&mut request, digest.as_deref())
            .map_err(|e| wrong(Box::new(e)))?;
        Ok(request)
    }
}

/// Amazon's hosts are named after regions; others are not.
fn moved_host(host: &str, from: &str, to: &str) -> String {
    let ending = format!("s3.{from}.amazonaws.com");
    match host.strip_suffix(&ending) {
        Some(bucket) => format!("{bucket}s3.{to}.amazonaws.com"),
        None => host.to_owned(),
    }
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    text.chunks(2).map(pair).collect()
}

/// Signs URLs for the region where the bucket is, as far as that is known.
#[derive(Debug)]
pub(super) struct RegionalSigner {
    region: Arc<Region>,
    here: Arc<AmazonS3>,
    builder: AmazonS3Builder,
    there: OnceLock<AmazonS3>,
}

impl RegionalSigner {
    pub(super) fn new(region: Arc<Region>, here: Arc<AmazonS3>, builder: AmazonS3Builder) -> Self {
        drop(region.credentials.set(Arc::downgrade(here.credentials())));
        let builder = builder.with_credentials(Arc::clone(here.credentials()));
        Self { region, here, builder, there: OnceLock::new() }
    }

    fn signer(&self) -> object_store::Result<&AmazonS3> {
        let Some(region) = self.region.found.get() else { return Ok(&self.here) };
        if let Some(there) = self.there.get() {
            return Ok(there);
        }
        let there = self.builder.clone().with_region(region).build()?;
        Ok(self.there.get_or_init(|| there))
    }
}

impl Signer for RegionalSigner {
    fn signed_url<'a, 'b, 'c>(
        &'a self,
        method: Method,
        path: &'b Key,
        expires_in: Duration,
    ) -> Pending<'c, object_store::Result<Url>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move { self.signer()?.signed_url(method, path, expires_in).await })
    }

    fn signed_url_opts<'a, 'b, 'c, 'd>(
        &'a self,
        method: Method,
        path: &'b Key,
        expires_in: Duration,
        options: &'c SignedUrlOptions,
    ) -> Pending<'d, object_store::Result<Url>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        Box::pin(async move { self.signer()?.signed_url_opts(method, path, expires_in, options).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amazons_hosts_are_named_after_regions() {
        for (host, want) in [
            ("b.s3.us-east-1.amazonaws.com", "b.s3.eu-west-1.amazonaws.com"),
            ("s3.us-east-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"),
            ("minio:9000", "minio:9000"),
            ("s3.us-east-1.amazonaws.com.example", "s3.us-east-1.amazonaws.com.example"),
        ] {
            assert_eq!(moved_host(host, "us-east-1", "eu-west-1"), want);
        }
    }

    #[test]
    fn digests_are_read_and_other_words_are_not() {
        assert_eq!(from_hex(b"00fF1a"), Some(vec![0, 255, 26]));
        assert_eq!(from_hex(b"UNSIGNED-PAYLOAD"), None);
        assert_eq!(from_hex(b"abc"), None);
    }

    #[test]
    fn only_names_of_regions_are_followed() {
        for (status, said, want) in [
            (301, "eu-west-1", Some("eu-west-1")),
            (400, "eu-west-1", Some("eu-west-1")),
            (403, "eu-west-1", None),
            (200, "eu-west-1", None),
            (301, "us-east-1", None),
            (301, "evil.com/", None),
            (301, "", None),
        ] {
            let mut response = HttpResponse::new(Vec::new().into());
            *response.status_mut() = status.try_into().unwrap();
            response.headers_mut().insert(REGION_HEADER, said.parse().unwrap());
            let region = Region::new("us-east-1".to_owned());
            assert_eq!(region.find(&response).map(String::as_str), want, "{status} {said}");
        }
    }
}
