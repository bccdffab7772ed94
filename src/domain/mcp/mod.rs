//! The registry of MCP servers: names, states of versions, and what is shown of servers, versions and the endpoints
//! that give access to them. What requests must look like is in `payload.rs`.

pub mod payload;
pub mod semver;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Error, Result, python};

/// The alias that every server has: its newest version.
pub const LATEST: &str = "latest";
/// The most servers of a page.
pub const MAX_SERVERS: i64 = 1000;

/// The state of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not yet for everyone.
    Draft,
    /// In use.
    Active,
    /// Still there.
    Deprecated,
    /// Gone; only its row is left.
    Deleted,
}

impl Status {
    /// Reads a state.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`. Upstream: `_parse_status`.
    pub fn parse(text: &str) -> Result<Self> {
        Self::find(text).ok_or_else(|| Error::invalid(format!("Invalid status: '{text}'")))
    }

    /// Reads a state as it is stored.
    pub fn find(text: &str) -> Option<Self> {
        [Self::Draft, Self::Active, Self::Deprecated, Self::Deleted].into_iter().find(|s| s.name() == text)
    }

    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Deleted => "deleted",
        }
    }

    /// Checks that a version can be made in this state.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_mcp_initial_status`.
    pub fn check_initial(self) -> Result<()> {
        match self {
            Self::Draft | Self::Active => Ok(()),
            _ => Err(Error::invalid("Initial MCP server registration status must be 'draft' or 'active'.")),
        }
    }

    /// Checks that a version can go from this state to `new`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_status_transition`.
    pub fn check_change(self, new: Self) -> Result<()> {
        let allowed: &[Self] = match self {
            Self::Draft => &[Self::Active, Self::Deleted],
            Self::Active => &[Self::Deprecated, Self::Draft],
            Self::Deprecated => &[Self::Active, Self::Deleted],
            Self::Deleted => &[],
        };
        if allowed.contains(&new) {
            return Ok(());
        }
        let allowed: Vec<&str> = allowed.iter().map(|status| status.name()).collect();
        Err(Error::invalid(format!(
            "Invalid status transition from '{}' to '{}'. Allowed transitions: {}",
            self.name(),
            new.name(),
            python::list(&allowed)
        )))
    }
}

/// Checks the way in which an endpoint is spoken to.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_parse_transport_type`.
pub fn check_transport(text: &str) -> Result<()> {
    match text {
        "streamable-http" | "sse" => Ok(()),
        _ => Err(Error::invalid(format!("Invalid transport_type: '{text}'"))),
    }
}

/// Checks the address of an endpoint, which is never asked here.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_mcp_access_endpoint_url`.
pub fn check_endpoint_url(url: &str) -> Result<()> {
    if url.trim().is_empty() {
        let url = python::repr(url);
        return Err(Error::invalid(format!(
            "MCP access endpoint url cannot be empty or just whitespace: {url}"
        )));
    }
    Ok(())
}

/// Checks the name of a server: a namespace, a slash and a name that is none of the registry's own words.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `validate_mcp_server_name`.
pub fn check_name(name: &str) -> Result<()> {
    const RESERVED: [&str; 4] = ["aliases", "endpoints", "tags", "versions"];
    if name.is_empty() {
        return Err(Error::invalid("MCP server name must not be empty"));
    }
    let fits = |part: &str, inner: &str| {
        let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        part.len() >= 2
            && is_end(part.chars().next())
            && is_end(part.chars().next_back())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || inner.contains(c))
    };
    let is_good = name.split_once('/').is_some_and(|(namespace, slug)| {
        fits(namespace, ".-") && fits(slug, "._-") && !RESERVED.contains(&slug)
    });
    if is_good {
        return Ok(());
    }
    Err(Error::invalid(
        "Invalid MCP server name. Expected '<reverse-dns namespace>/<server slug>' such as 'com.example/server-name'.",
    ))
}

/// A server as it is shown.
#[derive(Debug, Serialize)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// What it is for; of its newest version where nothing of its own is said.
    pub description: Option<String>,
    /// Its pictures, each with where it is from.
    pub icons: Option<Vec<Value>>,
    /// The one workspace.
    pub workspace: &'static str,
    /// The state of its newest version.
    pub status: Option<String>,
    /// Where it can be reached.
    pub access_endpoints: Vec<Endpoint>,
    /// Its newest version, active ones first.
    pub latest_version: Option<String>,
    /// Names of versions, sorted.
    pub aliases: Vec<Alias>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Who made it.
    pub created_by: Option<String>,
    /// Who changed it last.
    pub last_updated_by: Option<String>,
    /// When it was made.
    pub creation_timestamp: i64,
    /// When it was changed last.
    pub last_updated_timestamp: i64,
}

/// A name of a version.
#[derive(Debug, Clone, Serialize)]
pub struct Alias {
    /// The name.
    pub alias: String,
    /// The version.
    pub version: String,
}

/// A version as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct Version {
    /// The server's name.
    pub name: String,
    /// The version.
    pub version: String,
    /// What the server says of itself.
    pub server_json: Value,
    /// The one workspace.
    pub workspace: &'static str,
    /// Its state.
    pub status: String,
    /// Its tools.
    pub tools: Vec<Tool>,
    /// Its names, sorted.
    pub aliases: Vec<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// How its ways to connect are shown.
    pub connect_options: BTreeMap<String, ConnectOption>,
    /// Where it is from.
    pub source: Option<String>,
    /// Who made it.
    pub created_by: Option<String>,
    /// Who changed it last.
    pub last_updated_by: Option<String>,
    /// When it was made.
    pub creation_timestamp: i64,
    /// When it was changed last.
    pub last_updated_timestamp: i64,
    /// Whether it was ever said which tools it has.
    #[serde(skip)]
    pub has_tools: bool,
}

/// How a way to connect is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectOption {
    /// Whether it is not.
    #[serde(default)]
    pub hidden: bool,
}

/// A tool of a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What people call it.
    #[serde(default)]
    pub title: Option<String>,
    /// What it does.
    #[serde(default)]
    pub description: Option<String>,
    /// What it takes.
    #[serde(default)]
    pub input_schema: Option<Value>,
    /// What it returns.
    #[serde(default)]
    pub output_schema: Option<Value>,
    /// What else is said of it.
    #[serde(default)]
    pub annotations: Option<Value>,
    /// Its pictures.
    #[serde(default)]
    pub icons: Option<Value>,
    /// How it runs.
    #[serde(default)]
    pub execution: Option<Value>,
}

/// Where a server can be reached.
#[derive(Debug, Clone, Serialize)]
pub struct Endpoint {
    /// Its id.
    pub id: String,
    /// The server.
    pub server_name: String,
    /// The address.
    pub url: String,
    /// How it is spoken to.
    pub transport_type: String,
    /// The one workspace.
    pub workspace: &'static str,
    /// The tools of the version behind it; not shown within a server.
    #[serde(skip_serializing_if = "Shown::is_hidden")]
    pub tools: Shown,
    /// The version that it leads to, if it is a fixed one.
    pub server_version: Option<String>,
    /// The name of the version that it leads to, if it is not.
    pub server_alias: Option<String>,
    /// The version behind it now.
    pub resolved_version: Option<Version>,
    /// Who made it.
    pub created_by: Option<String>,
    /// Who changed it last.
    pub last_updated_by: Option<String>,
    /// When it was made.
    pub creation_timestamp: i64,
    /// When it was changed last.
    pub last_updated_timestamp: i64,
}

/// The tools of an endpoint's version.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Shown {
    /// There is no such field.
    Hidden,
    /// The tools, if it was ever said which.
    Tools(Option<Vec<Tool>>),
}

impl Shown {
    const fn is_hidden(&self) -> bool {
        matches!(self, Self::Hidden)
    }
}

/// Returns the pictures of a server: its own, then those of its version for themes that it has none for. An empty list
/// of its own means none.
///
/// Upstream: `_resolve_mcp_server_icons`.
pub fn resolve_icons(own: Option<&Value>, version: Option<&Value>) -> Option<Vec<Value>> {
    let list = |icons: Option<&Value>| -> Option<Vec<Map<String, Value>>> {
        Some(icons?.as_array()?.iter().filter_map(Value::as_object).cloned().collect())
    };
    let from = |mut icon: Map<String, Value>, source: &str| {
        icon.insert("source".into(), source.into());
        Value::Object(shown_icon(icon))
    };
    if own.and_then(Value::as_array).is_some_and(Vec::is_empty) {
        return Some(Vec::new());
    }
    let theme = |icon: &Map<String, Value>| icon.get("theme").cloned().unwrap_or_default();
    let own = list(own).unwrap_or_default();
    let themes: Vec<Value> = own.iter().map(theme).collect();
    let others = list(version).unwrap_or_default().into_iter().filter(|icon| !themes.contains(&theme(icon)));
    let icons: Vec<Value> = own
        .into_iter()
        .map(|icon| from(icon, "server"))
        .chain(others.map(|icon| from(icon, "version")))
        .collect();
    (!icons.is_empty()).then_some(icons)
}

/// Leaves out of a picture what is null among the fields that are known.
pub fn shown_icon(mut icon: Map<String, Value>) -> Map<String, Value> {
    icon.retain(|key, value| {
        !(value.is_null() && ["sizes", "mimeType", "theme", "source"].contains(&key.as_str()))
    });
    icon
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_have_a_namespace() {
        for (name, is_good) in [
            ("io.example/weather", true),
            ("a1/b_c.d-e", true),
            ("weather", false),
            ("a/b", false),
            ("io.example/", false),
            ("io.example/a/b", false),
            ("io.example/versions", false),
            ("io_x/ab", false),
            ("io.example/-ab", false),
            ("", false),
        ] {
            assert_eq!(check_name(name).is_ok(), is_good, "{name}");
        }
    }

    #[test]
    fn states_change_along_their_ways() {
        let error = Status::Active.check_change(Status::Deleted).unwrap_err();
        assert_eq!(
            error.message,
            "Invalid status transition from 'active' to 'deleted'. Allowed transitions: ['deprecated', 'draft']"
        );
        assert!(Status::Draft.check_change(Status::Active).is_ok());
        assert!(Status::Draft.check_change(Status::Draft).is_err());
        assert!(Status::Deleted.check_change(Status::Draft).is_err());
        assert!(Status::Deprecated.check_initial().is_err());
    }

    #[test]
    fn pictures_of_the_version_fill_in_for_themes() {
        let own = json!([{"src": "a", "theme": "dark"}]);
        let version = json!([{"src": "b", "theme": "dark"}, {"src": "c", "theme": null}]);
        let resolved = resolve_icons(Some(&own), Some(&version)).unwrap();
        assert_eq!(
            Value::from(resolved),
            json!([{"src": "a", "theme": "dark", "source": "server"}, {"src": "c", "source": "version"}])
        );
        assert_eq!(resolve_icons(Some(&json!([])), Some(&version)), Some(Vec::new()));
        assert_eq!(resolve_icons(None, None), None);
        assert_eq!(resolve_icons(Some(&Value::Null), Some(&version)).unwrap().len(), 2);
    }
}
