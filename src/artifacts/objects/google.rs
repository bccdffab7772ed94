//! Google Cloud Storage.
//!
//! Upstream: `GCSArtifactRepository`. Application Default Credentials: a file named in the environment, that
//! of `gcloud`, or the metadata server.

use std::sync::Arc;

use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{HeaderMap, StaticCredentialProvider};

use super::http::Connector;
use super::{Kind, Objects, Uploads, client_options, misconfigured, retries};
use crate::config::Environment;
use crate::domain::artifact_uri::UriParts;
use crate::domain::{Error, Result};

/// See [`super::open`].
pub(super) fn open(
    parts: &UriParts<'_>,
    environment: &Environment,
    uploads: Arc<Uploads>,
) -> Result<Objects> {
    let bucket = parts.netloc;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if bucket.is_empty() || !bucket.chars().all(is_name) {
        return Err(Error::invalid(format!("Invalid artifact location: 'gs://{bucket}' names no bucket.")));
    }
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_retry(retries())
        .with_http_connector(Connector { region: None })
        .with_client_options(client_options());
    if let Some(file) = environment.get("GOOGLE_APPLICATION_CREDENTIALS") {
        builder = builder.with_application_credentials(file);
    }
    // Google's own libraries talk to an emulator without credentials
    if let Some(host) = environment.get("STORAGE_EMULATOR_HOST") {
        let url = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
        builder = builder
            .with_base_url(url.trim_end_matches('/'))
            .with_credentials(Arc::new(StaticCredentialProvider::new(GcpCredential {
                bearer: String::new(),
            })))
            .with_client_options(client_options().with_allow_http(true));
    }
    let store = Arc::new(builder.build().map_err(|e| misconfigured(e.to_string()))?);
    Ok(Objects {
        kind: Kind::Google,
        name: format!("gs://{bucket}"),
        store: store.clone(),
        writer: store.clone(),
        multipart: store.clone(),
        multipart_writer: store.clone(),
        signer: store,
        upload_headers: HeaderMap::new(),
        uploads,
    })
}
