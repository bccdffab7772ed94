//! S3 and compatible stores: a client from the settings that boto3 and MLflow read from the environment.
//!
//! Upstream: `S3ArtifactRepository`, botocore's `configprovider` and `args`.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::signer::HeaderName;
use object_store::{Certificate, ClientOptions, HeaderMap, HeaderValue};
use serde_json::{Map, Value};

use super::aws_profile::Profile;
use super::http::Connector;
use super::region::{Region, RegionalSigner};
use super::{Kind, Objects, Uploads, client_options, misconfigured, retries};
use crate::config::Environment;
use crate::domain::artifact_uri::UriParts;
use crate::domain::{Error, Result};

/// Keys of `MLFLOW_S3_UPLOAD_EXTRA_ARGS` and the headers that they become.
///
/// Upstream: `_S3_PARAM_TO_HEADER`, s3transfer's `ALLOWED_UPLOAD_ARGS`.
const UPLOAD_ARGUMENTS: [(&str, &str); 22] = [
    ("ACL", "x-amz-acl"),
    ("CacheControl", "cache-control"),
    ("ContentDisposition", "content-disposition"),
    ("ContentEncoding", "content-encoding"),
    ("ContentLanguage", "content-language"),
    ("ContentType", "content-type"),
    ("ExpectedBucketOwner", "x-amz-expected-bucket-owner"),
    ("Expires", "expires"),
    ("GrantFullControl", "x-amz-grant-full-control"),
    ("GrantRead", "x-amz-grant-read"),
    ("GrantReadACP", "x-amz-grant-read-acp"),
    ("GrantWriteACP", "x-amz-grant-write-acp"),
    ("ObjectLockLegalHoldStatus", "x-amz-object-lock-legal-hold"),
    ("ObjectLockMode", "x-amz-object-lock-mode"),
    ("ObjectLockRetainUntilDate", "x-amz-object-lock-retain-until-date"),
    ("RequestPayer", "x-amz-request-payer"),
    ("SSEKMSEncryptionContext", "x-amz-server-side-encryption-context"),
    ("SSEKMSKeyId", "x-amz-server-side-encryption-aws-kms-key-id"),
    ("ServerSideEncryption", "x-amz-server-side-encryption"),
    ("StorageClass", "x-amz-storage-class"),
    ("Tagging", "x-amz-tagging"),
    ("WebsiteRedirectLocation", "x-amz-website-redirect-location"),
];

/// See [`super::open`].
pub(super) fn open(
    parts: &UriParts<'_>,
    environment: &Environment,
    uploads: Arc<Uploads>,
) -> Result<Objects> {
    let bucket = parts.netloc;
    // the name becomes part of a host: nothing in it may end one
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if bucket.is_empty() || !bucket.chars().all(is_name) || bucket.starts_with(['.', '-']) {
        return Err(Error::invalid(format!("Invalid artifact location: 's3://{bucket}' names no bucket.")));
    }
    let settings = Settings::read(environment)?;
    let region = Region::new(settings.region.clone());
    let builder = settings.builder(bucket, &region)?;
    // headers of new objects are invalid in requests for old ones
    let mut said = settings.common_headers.clone();
    said.extend(settings.upload_headers.clone());
    let writer = builder.clone().with_client_options(settings.client_options()?.with_default_headers(said));
    let made = |builder: AmazonS3Builder| builder.build().map_err(|e| misconfigured(e.to_string()));
    let (reader, writer) = (Arc::new(made(builder.clone())?), Arc::new(made(writer)?));
    let signer = Arc::new(RegionalSigner::new(region, Arc::clone(&reader), builder));
    Ok(Objects {
        kind: Kind::S3,
        name: format!("s3://{bucket}"),
        store: reader.clone(),
        writer: writer.clone(),
        multipart: reader,
        multipart_writer: writer,
        signer,
        upload_headers: settings.upload_headers,
        uploads,
    })
}

/// S3's addressing style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Addressing {
    /// Path-style if an endpoint is configured, else virtual-hosted.
    Auto,
    Path,
    Host,
}

/// What the environment says about S3.
struct Settings {
    keys: Vec<(AmazonS3ConfigKey, String)>,
    is_unsigned: bool,
    region: String,
    endpoint: Option<String>,
    addressing: Addressing,
    ignores_tls: bool,
    ca_bundle: Option<String>,
    common_headers: HeaderMap,
    upload_headers: HeaderMap,
    /// In base64.
    customer_key: Option<String>,
    checksum: Option<Checksum>,
}

impl Settings {
    fn read(environment: &Environment) -> Result<Self> {
        let profile = Profile::read(environment)?;
        let is_unsigned = environment
            .get("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION")
            .is_some_and(|version| version.eq_ignore_ascii_case("unsigned"));
        let ignores_endpoints = environment
            .get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let configured = || {
            let named =
                environment.get("AWS_ENDPOINT_URL_S3").or_else(|| environment.get("AWS_ENDPOINT_URL"));
            named.or_else(|| profile.get("endpoint_url")).filter(|_| !ignores_endpoints)
        };
        let endpoint = environment.get("MLFLOW_S3_ENDPOINT_URL").or_else(configured);
        // boto3 ignores AWS_REGION, but the other AWS tools do not
        let region = environment.get("AWS_DEFAULT_REGION").or_else(|| profile.get("region"));
        let region = region.or_else(|| environment.get("AWS_REGION")).unwrap_or("us-east-1").to_owned();
        let extra = upload_arguments(environment.get("MLFLOW_S3_UPLOAD_EXTRA_ARGS").unwrap_or_default())?;
        let mut common_headers = HeaderMap::new();
        if let Some(owner) = environment.get("MLFLOW_S3_EXPECTED_BUCKET_OWNER") {
            common_headers.insert("x-amz-expected-bucket-owner", header(owner)?);
        }
        let ca_bundle = environment.get("AWS_CA_BUNDLE").or_else(|| profile.get("ca_bundle"));
        Ok(Self {
            keys: if is_unsigned { Vec::new() } else { credentials(environment, &profile)? },
            is_unsigned,
            endpoint: endpoint.map(|url| url.trim_end_matches('/').to_owned()).or_else(|| chinese(&region)),
            region,
            addressing: match environment.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE") {
                Some("path") => Addressing::Path,
                Some("virtual") => Addressing::Host,
                _ => Addressing::Auto,
            },
            ignores_tls: environment.is_on("MLFLOW_S3_IGNORE_TLS"),
            ca_bundle: ca_bundle.or_else(|| environment.get("REQUESTS_CA_BUNDLE")).map(str::to_owned),
            common_headers,
            upload_headers: extra.headers,
            customer_key: extra.customer_key,
            checksum: extra.checksum,
        })
    }

    fn client_options(&self) -> Result<ClientOptions> {
        let options = client_options()
            .with_allow_http(true)
            .with_allow_invalid_certificates(self.ignores_tls)
            .with_default_headers(self.common_headers.clone());
        let Some(file) = self.ca_bundle.as_ref().filter(|_| !self.ignores_tls) else { return Ok(options) };
        let unreadable = |e: &dyn std::fmt::Display| misconfigured(format!("The CA bundle {file}: {e}"));
        let bundle = std::fs::read(file).map_err(|e| unreadable(&e))?;
        let certificates = Certificate::from_pem_bundle(&bundle).map_err(|e| unreadable(&e))?;
        Ok(certificates.into_iter().fold(options, ClientOptions::with_root_certificate))
    }

    fn builder(&self, bucket: &str, region: &Arc<Region>) -> Result<AmazonS3Builder> {
        let has_tls = self.endpoint.as_ref().is_none_or(|url| url.starts_with("https:"));
        let (endpoint, in_host) = self.address(bucket)?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&self.region)
            .with_retry(retries())
            .with_http_connector(Connector { region: Some(Arc::clone(region)) })
            .with_virtual_hosted_style_request(in_host)
            .with_skip_signature(self.is_unsigned)
            // TLS guards what is sent already; without it, the signature does
            .with_unsigned_payload(has_tls)
            .with_client_options(self.client_options()?);
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(key) = &self.customer_key {
            builder = builder.with_ssec_encryption(key);
        }
        if let Some(checksum) = self.checksum {
            builder = builder.with_checksum_algorithm(checksum);
        }
        Ok(self.keys.iter().fold(builder, |builder, (key, value)| builder.with_config(*key, value)))
    }

    /// Returns the endpoint, with the bucket if virtual-hosted, and whether it is.
    fn address(&self, bucket: &str) -> Result<(Option<String>, bool)> {
        let in_host = match (self.addressing, &self.endpoint) {
            (Addressing::Host, _) => true,
            (Addressing::Path, _) | (Addressing::Auto, Some(_)) => false,
            // wildcard certificates match no names with dots, and hosts are lower case
            (Addressing::Auto, None) => !bucket.contains(['.', '_']) && *bucket == bucket.to_lowercase(),
        };
        let Some(endpoint) = &self.endpoint else { return Ok((None, in_host)) };
        let (scheme, host) =
            endpoint.split_once("://").filter(|(s, _)| matches!(*s, "http" | "https")).ok_or_else(|| {
                misconfigured(format!(
                    "The S3 endpoint '{endpoint}' is no URL that begins with http:// or https://."
                ))
            })?;
        let endpoint = if in_host { format!("{scheme}://{bucket}.{host}") } else { endpoint.clone() };
        Ok((Some(endpoint), in_host))
    }
}

/// China's regions have a domain of their own.
fn chinese(region: &str) -> Option<String> {
    region.starts_with("cn-").then(|| format!("https://s3.{region}.amazonaws.com.cn"))
}

/// Finds credentials in boto3's order. Without any, the machine's metadata service is asked.
fn credentials(environment: &Environment, profile: &Profile) -> Result<Vec<(AmazonS3ConfigKey, String)>> {
    use AmazonS3ConfigKey as Key;

    let from_environment = |pairs: &[(Key, &str)]| {
        let found = pairs.iter().filter_map(|(key, name)| Some((*key, environment.get(name)?.to_owned())));
        found.collect::<Vec<_>>()
    };
    let own = [
        (Key::AccessKeyId, "AWS_ACCESS_KEY_ID"),
        (Key::SecretAccessKey, "AWS_SECRET_ACCESS_KEY"),
        (Key::Token, "AWS_SESSION_TOKEN"),
    ];
    if environment.get("AWS_ACCESS_KEY_ID").is_some() {
        return Ok(from_environment(&own));
    }
    let web_identity = [
        (Key::WebIdentityTokenFile, "AWS_WEB_IDENTITY_TOKEN_FILE"),
        (Key::RoleArn, "AWS_ROLE_ARN"),
        (Key::RoleSessionName, "AWS_ROLE_SESSION_NAME"),
        (Key::StsEndpoint, "AWS_ENDPOINT_URL_STS"),
    ];
    if environment.get("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
        return Ok(from_environment(&web_identity));
    }
    let of_profile = profile.credentials()?;
    if !of_profile.is_empty() {
        return Ok(of_profile);
    }
    Ok(from_environment(&[
        (Key::ContainerCredentialsRelativeUri, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        (Key::ContainerCredentialsFullUri, "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        (Key::ContainerAuthorizationTokenFile, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        (Key::MetadataEndpoint, "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
    ]))
}

/// What `MLFLOW_S3_UPLOAD_EXTRA_ARGS` says.
#[derive(Default)]
struct Extra {
    headers: HeaderMap,
    customer_key: Option<String>,
    checksum: Option<Checksum>,
}

fn upload_arguments(text: &str) -> Result<Extra> {
    let mut extra = Extra::default();
    if text.is_empty() {
        return Ok(extra);
    }
    let wrong = |what: &str| misconfigured(format!("MLFLOW_S3_UPLOAD_EXTRA_ARGS {what}"));
    let arguments: Map<String, Value> =
        serde_json::from_str(text).map_err(|e| wrong("is not the JSON of an object.").with_source(e))?;
    for (name, value) in &arguments {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match (name.as_str(), value) {
            ("SSECustomerKey", _) => extra.customer_key = Some(BASE64_STANDARD.encode(text)),
            // they follow from the key
            ("SSECustomerAlgorithm" | "SSECustomerKeyMD5", _) => {}
            ("ChecksumAlgorithm", _) => {
                let known =
                    text.parse().map_err(|()| wrong("asks for a checksum that is not known here."))?;
                extra.checksum = Some(known);
            }
            ("Metadata", Value::Object(entries)) => {
                for (name, value) in entries {
                    let name = object_header(&format!("x-amz-meta-{name}"))?;
                    extra.headers.insert(name, header(value.as_str().unwrap_or_default())?);
                }
            }
            _ => {
                let known = UPLOAD_ARGUMENTS.iter().find(|(argument, _)| argument == name);
                let (_, name) = known.ok_or_else(|| wrong(&format!("has an unknown argument, '{name}'.")))?;
                extra.headers.insert(*name, header(&text)?);
            }
        }
    }
    Ok(extra)
}

fn object_header(name: &str) -> Result<HeaderName> {
    match name.parse() {
        Ok::<HeaderName, _>(name) => Ok(name),
        Err(e) => Err(misconfigured(format!("'{name}' cannot be the name of a header.")).with_source(e)),
    }
}

fn header(value: &str) -> Result<HeaderValue> {
    let wrong = || misconfigured("A setting for S3 cannot stand in a header.".into());
    HeaderValue::from_str(value).map_err(|e| wrong().with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings> {
        let all = [("HOME", "/nowhere")].iter().chain(variables);
        Settings::read(&all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn addresses_are_botos() {
        let minio = ("MLFLOW_S3_ENDPOINT_URL", "http://minio:9000/");
        for (variables, bucket, endpoint, in_host) in [
            (&[][..], "b", None, true),
            (&[], "b.with.dots", None, false),
            (&[("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "path")], "b", None, false),
            (&[minio], "b", Some("http://minio:9000"), false),
            (
                &[minio, ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "virtual")],
                "b",
                Some("http://b.minio:9000"),
                true,
            ),
            (
                &[("AWS_ENDPOINT_URL", "https://all"), ("AWS_ENDPOINT_URL_S3", "https://s3")],
                "b",
                Some("https://s3"),
                false,
            ),
            (&[("AWS_ENDPOINT_URL", "https://all"), minio], "b", Some("http://minio:9000"), false),
            (
                &[("AWS_ENDPOINT_URL", "https://all"), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")],
                "b",
                None,
                true,
            ),
            (
                &[("AWS_DEFAULT_REGION", "cn-north-1")],
                "b",
                Some("https://s3.cn-north-1.amazonaws.com.cn"),
                false,
            ),
        ] {
            let got = settings(variables).unwrap().address(bucket).unwrap();
            assert_eq!(got, (endpoint.map(str::to_owned), in_host), "{variables:?}");
        }
        let error = settings(&[("AWS_ENDPOINT_URL", "minio:9000")]).unwrap().address("b").unwrap_err();
        assert!(error.message.contains("'minio:9000' is no URL"), "{}", error.message);
    }

    #[test]
    fn credentials_are_found_in_botos_order() {
        let own = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "t")];
        let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/f"), ("AWS_ROLE_ARN", "r")];
        let values = |variables: &[(&str, &str)]| {
            settings(variables).unwrap().keys.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(values(&own), ["A", "s", "t"]);
        assert_eq!(values(&[&own[..], &web].concat()), ["A", "s", "t"]);
        assert_eq!(values(&web), ["/f", "r"]);
        assert_eq!(values(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c")]), ["/c"]);
        let unsigned = [&own[..], &[("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION", "UNSIGNED")]].concat();
        assert_eq!(values(&unsigned), [""; 0]);
    }

    #[test]
    fn extra_arguments_become_headers() {
        let extra = upload_arguments(
            r#"{"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k", "ACL": "private", "Metadata": {"a": "b"},
                "SSECustomerKey": "01234567890123456789012345678901", "ChecksumAlgorithm": "SHA256"}"#,
        )
        .unwrap();
        let headers: Vec<_> =
            extra.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        for header in [
            "x-amz-server-side-encryption: aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id: k",
            "x-amz-acl: private",
            "x-amz-meta-a: b",
        ] {
            assert!(headers.iter().any(|h| h == header), "{header} in {headers:?}");
        }
        assert_eq!(headers.len(), 4);
        assert_eq!(extra.customer_key.as_deref(), Some("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="));
        for (text, said) in
            [("x", "is not the JSON"), ("[]", "is not the JSON"), (r#"{"Acl": "x"}"#, "'Acl'")]
        {
            let message = upload_arguments(text).err().unwrap().message;
            assert!(message.contains(said), "{message}");
        }
    }

    #[test]
    fn buckets_cannot_change_the_host() {
        let uploads = Uploads::new();
        let environment: Environment = [("HOME".to_owned(), "/nowhere".to_owned())].into_iter().collect();
        for (uri, want) in [
            ("s3://bucket/a/b%20c", "s3://bucket"),
            ("s3://my.bucket-1_X//a/", "s3://my.bucket-1_X"),
            ("s3:///x", "Invalid artifact location: 's3://' names no bucket."),
            ("s3://evil.com:80/x", "Invalid artifact location"),
            ("s3://user@evil.com/x", "Invalid artifact location"),
            ("s3://evil.com\\x/y", "Invalid artifact location"),
            ("s3://.evil/x", "Invalid artifact location"),
        ] {
            let got = match open(&UriParts::split(uri), &environment, Arc::clone(&uploads)) {
                Ok(objects) => objects.name,
                Err(error) => error.message,
            };
            assert!(got.starts_with(want), "{uri}: {got}");
        }
    }
}
