//! Azure: Blob Storage (`wasbs:`) and Data Lake (`abfss:`), both through the Blob API.
//!
//! Upstream: `AzureBlobArtifactRepository`, `AzureDataLakeArtifactRepository`.

use std::collections::HashMap;
use std::sync::Arc;

use object_store::HeaderMap;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::http::Connector;
use super::{Kind, Objects, Uploads, client_options, misconfigured, retries};
use crate::config::Environment;
use crate::domain::artifact_uri::UriParts;
use crate::domain::{Error, Result};

/// The hosts that `wasbs:` URIs may have, after the account's name.
const BLOB_HOSTS: [&str; 3] =
    ["blob.core.windows.net", "blob.core.chinacloudapi.cn", "blob.core.usgovcloudapi.net"];

/// See [`super::open`].
pub(super) fn open(
    parts: &UriParts<'_>,
    environment: &Environment,
    uploads: Arc<Uploads>,
) -> Result<Objects> {
    let place = Place::of(parts)?;
    let builder = MicrosoftAzureBuilder::new()
        .with_container_name(place.container)
        .with_account(place.account)
        .with_endpoint(format!("https://{}.{}", place.account, place.host))
        .with_retry(retries())
        .with_http_connector(Connector { region: None })
        .with_client_options(client_options());
    let builder = with_credentials(builder, place.kind, environment)?;
    let store = Arc::new(builder.build().map_err(|e| misconfigured(e.to_string()))?);
    Ok(Objects {
        kind: place.kind,
        name: format!("{}://{}", parts.scheme, parts.netloc),
        store: store.clone(),
        writer: store.clone(),
        multipart: store.clone(),
        multipart_writer: store.clone(),
        signer: store,
        upload_headers: HeaderMap::new(),
        uploads,
    })
}

/// What the host of a URI names.
struct Place<'a> {
    kind: Kind,
    container: &'a str,
    account: &'a str,
    /// Of the service for blobs, without the account.
    host: String,
}

impl<'a> Place<'a> {
    /// Upstream: `parse_wasbs_uri`, `_parse_abfss_uri`.
    fn of(parts: &UriParts<'a>) -> Result<Self> {
        let split = || {
            let (container, rest) = parts.netloc.split_once('@')?;
            let (account, host) = rest.split_once('.')?;
            let is_name = |name: &str| {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '$'))
            };
            let is_host = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
            (is_name(container) && is_name(account) && is_host).then_some((container, account, host))
        };
        if parts.scheme == "wasbs" {
            let (container, account, host) =
                split().filter(|(.., host)| BLOB_HOSTS.contains(host)).ok_or_else(|| {
                    let forms = BLOB_HOSTS.map(|host| format!("<container>@<account>.{host}")).join(" or ");
                    Error::invalid(format!("WASBS URI must be of the form {forms}"))
                })?;
            return Ok(Self { kind: Kind::AzureBlobs, container, account, host: host.to_owned() });
        }
        let (container, account, host) = split().ok_or_else(|| {
            let form = "abfss://<filesystem>@<account>.<domain_suffix>";
            Error::invalid(format!("ABFSS URI must be of the form {form}"))
        })?;
        let host = host.strip_prefix("dfs.").map_or_else(|| host.to_owned(), |rest| format!("blob.{rest}"));
        Ok(Self { kind: Kind::AzureLake, container, account, host })
    }
}

/// Sets stock's credentials: for blobs a connection string or access key, for lakes a SAS token; else a
/// service principal's secret or token, or the managed identity.
fn with_credentials(
    builder: MicrosoftAzureBuilder,
    kind: Kind,
    environment: &Environment,
) -> Result<MicrosoftAzureBuilder> {
    if kind == Kind::AzureLake {
        if let Some(token) = environment.get("AZURE_STORAGE_SAS_TOKEN") {
            return Ok(builder.with_config(AzureConfigKey::SasKey, token));
        }
    } else if let Some(text) = environment.get("AZURE_STORAGE_CONNECTION_STRING") {
        return connection_string(builder, text);
    } else if let Some(key) = environment.get("AZURE_STORAGE_ACCESS_KEY") {
        return Ok(builder.with_access_key(key));
    }
    let known = [
        (AzureConfigKey::ClientId, "AZURE_CLIENT_ID"),
        (AzureConfigKey::ClientSecret, "AZURE_CLIENT_SECRET"),
        (AzureConfigKey::AuthorityId, "AZURE_TENANT_ID"),
        (AzureConfigKey::AuthorityHost, "AZURE_AUTHORITY_HOST"),
        (AzureConfigKey::FederatedTokenFile, "AZURE_FEDERATED_TOKEN_FILE"),
        (AzureConfigKey::MsiEndpoint, "IDENTITY_ENDPOINT"),
    ];
    Ok(known.into_iter().fold(builder, |builder, (key, name)| match environment.get(name) {
        Some(value) => builder.with_config(key, value),
        None => builder,
    }))
}

/// Upstream: `BlobServiceClient.from_connection_string`, which ignores the URI's account.
fn connection_string(builder: MicrosoftAzureBuilder, text: &str) -> Result<MicrosoftAzureBuilder> {
    let values: HashMap<String, &str> = text
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()))
        .collect();
    let get = |name: &str| values.get(name).copied();
    let account = get("accountname");
    let protocol = get("defaultendpointsprotocol").unwrap_or("https");
    let suffix = get("endpointsuffix").unwrap_or("core.windows.net");
    let endpoint = get("blobendpoint")
        .map(|url| url.trim_end_matches('/').to_owned())
        .or_else(|| account.map(|account| format!("{protocol}://{account}.blob.{suffix}")))
        .ok_or_else(|| misconfigured("AZURE_STORAGE_CONNECTION_STRING names no account.".into()))?;
    let is_plain = endpoint.starts_with("http:");
    let mut builder =
        builder.with_endpoint(endpoint).with_client_options(client_options().with_allow_http(is_plain));
    if let Some(account) = account {
        builder = builder.with_account(account);
    }
    match (get("accountkey"), get("sharedaccesssignature")) {
        (Some(key), _) => Ok(builder.with_access_key(key)),
        (None, Some(token)) => Ok(builder.with_config(AzureConfigKey::SasKey, token)),
        (None, None) => {
            Err(misconfigured("AZURE_STORAGE_CONNECTION_STRING has neither a key nor a signature.".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_name_container_account_and_host() {
        for (uri, want) in [
            ("wasbs://c@a.blob.core.windows.net/p", "c a blob.core.windows.net"),
            ("wasbs://c@a.blob.core.usgovcloudapi.net", "c a blob.core.usgovcloudapi.net"),
            ("abfss://c@a.dfs.core.windows.net/p", "c a blob.core.windows.net"),
            ("abfss://c@a.z1.dfs.storage.azure.net/p", "c a z1.dfs.storage.azure.net"),
            ("wasbs://c@a.blob.core.windows.net.evil/p", "WASBS URI must be"),
            ("wasbs://c@a.evil/p", "WASBS URI must be"),
            ("wasbs://a.blob.core.windows.net/p", "WASBS URI must be"),
            ("wasbs://c@evil\\x.blob.core.windows.net/p", "WASBS URI must be"),
            ("abfss://c/p", "ABFSS URI must be"),
            ("abfss://c@a.evil:80/p", "ABFSS URI must be"),
        ] {
            let got = match Place::of(&UriParts::split(uri)) {
                Ok(place) => format!("{} {} {}", place.container, place.account, place.host),
                Err(error) => error.message,
            };
            assert!(got.starts_with(want), "{uri}: {got}");
        }
    }
}
