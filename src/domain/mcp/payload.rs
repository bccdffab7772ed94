//! What requests of the registry must look like: tables of fields, and the walk that checks a body against one. All
//! problems are found and told at once, in the words that stock's validation has for them.
//!
//! Upstream: the request models of `mlflow.server.mcp_server_api`.

use serde_json::{Map, Value};

use super::check_name;
use crate::domain::{Error, Result, python};

/// The most pictures of anything.
const MAX_ICONS: usize = 100;
/// The most tools of a version.
const MAX_TOOLS: usize = 1000;

/// A body by its fields.
type Model = &'static [Field];

/// A field: its name, what it holds, and whether it must be there.
struct Field {
    name: &'static str,
    kind: Kind,
    needed: Needed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Needed {
    /// Must be there.
    Yes,
    /// May be left out, but not be null.
    NotNull,
    /// May be left out or null.
    No,
}

/// What a field holds.
enum Kind {
    Any,
    Text,
    Bool,
    /// Any object.
    Object,
    /// An object with these fields.
    Model(Model),
    /// The same, where fields that are not known are dropped.
    Closed(Model),
    /// A picture.
    Icon,
    List(&'static Self, Option<usize>),
    /// An object whose values are shown or hidden.
    Options,
}

const fn needed(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: Needed::Yes }
}

const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: Needed::No }
}

const fn defaulted(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: Needed::NotNull }
}

const ICON: Model = &[
    needed("src", Kind::Text),
    optional("sizes", Kind::List(&Kind::Text, None)),
    optional("mimeType", Kind::Text),
    optional("theme", Kind::Text),
];
const ICONS: Kind = Kind::List(&Kind::Icon, Some(MAX_ICONS));
const TOOL: Model = &[
    needed("name", Kind::Text),
    optional("title", Kind::Text),
    optional("description", Kind::Text),
    optional("inputSchema", Kind::Object),
    optional("outputSchema", Kind::Object),
    optional("annotations", Kind::Object),
    optional("icons", ICONS),
    optional("execution", Kind::Object),
];
const TOOLS: Kind = Kind::List(&Kind::Closed(TOOL), Some(MAX_TOOLS));
const VARIABLE: Model = &[
    needed("name", Kind::Text),
    optional("description", Kind::Text),
    optional("isRequired", Kind::Bool),
    optional("isSecret", Kind::Bool),
];
const PACKAGE: Model = &[
    needed("registryType", Kind::Text),
    needed("identifier", Kind::Text),
    needed("transport", Kind::Any),
    optional("registryBaseUrl", Kind::Text),
    optional("version", Kind::Text),
    optional("environmentVariables", Kind::List(&Kind::Model(VARIABLE), None)),
];
const REMOTE: Model = &[optional("type", Kind::Text), optional("url", Kind::Text)];
const REPOSITORY: Model = &[
    needed("url", Kind::Text),
    needed("source", Kind::Text),
    optional("id", Kind::Text),
    optional("subfolder", Kind::Text),
];
const SERVER_JSON: Model = &[
    needed("name", Kind::Text),
    needed("version", Kind::Text),
    optional("title", Kind::Text),
    optional("description", Kind::Text),
    optional("icons", ICONS),
    optional("packages", Kind::List(&Kind::Model(PACKAGE), None)),
    optional("remotes", Kind::List(&Kind::Model(REMOTE), None)),
    optional("repository", Kind::Model(REPOSITORY)),
    optional("websiteUrl", Kind::Text),
    optional("_meta", Kind::Object),
];
const CREATE_SERVER: Model =
    &[needed("name", Kind::Text), optional("description", Kind::Text), optional("icons", ICONS)];
const UPDATE_SERVER: Model =
    &[optional("display_name", Kind::Text), optional("description", Kind::Text), optional("icons", ICONS)];
const CREATE_VERSION: Model = &[
    needed("server_json", Kind::Model(SERVER_JSON)),
    defaulted("status", Kind::Text),
    optional("source", Kind::Text),
    optional("tools", TOOLS),
    optional("connect_options", Kind::Options),
];
const UPDATE_VERSION: Model =
    &[optional("status", Kind::Text), optional("tools", TOOLS), optional("connect_options", Kind::Options)];
const CREATE_ENDPOINT: Model = &[
    optional("server_version", Kind::Text),
    optional("server_alias", Kind::Text),
    needed("url", Kind::Text),
    defaulted("transport_type", Kind::Text),
];
const UPDATE_ENDPOINT: Model = &[
    optional("server_version", Kind::Text),
    optional("server_alias", Kind::Text),
    optional("url", Kind::Text),
    optional("transport_type", Kind::Text),
];
const SET_ALIAS: Model = &[needed("alias", Kind::Text), needed("version", Kind::Text)];
const SET_TAG: Model = &[needed("key", Kind::Text), needed("value", Kind::Text)];

/// The bodies that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Of a new server.
    CreateServer,
    /// Of changes of a server.
    UpdateServer,
    /// Of a new version.
    CreateVersion,
    /// Of changes of a version.
    UpdateVersion,
    /// Of a new endpoint.
    CreateEndpoint,
    /// Of changes of an endpoint.
    UpdateEndpoint,
    /// Of an alias.
    SetAlias,
    /// Of a tag.
    SetTag,
}

impl Body {
    const fn model(self) -> Model {
        match self {
            Self::CreateServer => CREATE_SERVER,
            Self::UpdateServer => UPDATE_SERVER,
            Self::CreateVersion => CREATE_VERSION,
            Self::UpdateVersion => UPDATE_VERSION,
            Self::CreateEndpoint => CREATE_ENDPOINT,
            Self::UpdateEndpoint => UPDATE_ENDPOINT,
            Self::SetAlias => SET_ALIAS,
            Self::SetTag => SET_TAG,
        }
    }
}

/// A body that was checked.
#[derive(Debug)]
pub struct Checked {
    /// Its fields.
    pub fields: Map<String, Value>,
    /// The addresses of pictures in it, which are yet to be checked, and what is wrong with the pictures' types.
    pub icons: Vec<Icon>,
    /// What is wrong with its fields, if anything is. What is wrong with pictures comes before it.
    pub problem: Option<Error>,
}

/// A picture of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Icon {
    /// Its address.
    Address(String),
    /// Its type is none of a picture.
    BadType(String),
}

/// Checks a body.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for a body that is no JSON object. What is wrong within it is told by the result.
pub fn check(body: Body, bytes: &[u8]) -> Result<Checked> {
    if bytes.is_empty() {
        return Err(invalid(&["Field required".into()]));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|e| {
        // Where it ends too early, what is missing would be the next character.
        let place = if e.is_eof() { e.column() } else { e.column().saturating_sub(1) };
        invalid(&[format!("{place}: JSON decode error")]).with_source(e)
    })?;
    let Value::Object(mut fields) = value else {
        return Err(invalid(&[NO_OBJECT.into()]));
    };
    let mut walk = Walk::default();
    if body == Body::UpdateServer && fields.contains_key("latest_version") {
        return Err(invalid(&[
            "Value error, latest_version is read-only; it is resolved automatically from \
                              semantic-version ordering"
                .into(),
        ]));
    }
    if body == Body::CreateVersion {
        unwrap_envelope(&mut fields)?;
    }
    walk.model(body.model(), &mut fields, "");
    let problem = (!walk.problems.is_empty()).then(|| invalid(&walk.problems));
    Ok(Checked { fields, icons: walk.icons, problem })
}

/// `INVALID_PARAMETER_VALUE` with every problem.
pub fn invalid(problems: &[String]) -> Error {
    Error::invalid(format!("Invalid request: {}", problems.join("; ")))
}

const NO_OBJECT: &str = "Input should be a valid dictionary or object to extract fields from";

/// Takes a server out of the envelope that the public registry sends it in.
fn unwrap_envelope(fields: &mut Map<String, Value>) -> Result<()> {
    let has_both = |json: &Map<String, Value>| json.contains_key("name") && json.contains_key("version");
    let Some(Value::Object(json)) = fields.get_mut("server_json") else { return Ok(()) };
    if has_both(json) {
        return Ok(());
    }
    let inner = match json.get("server") {
        None => return Ok(()),
        Some(Value::Object(inner)) => inner.clone(),
        Some(_) => {
            let problem = "Value error, server_json.server: Input should be a valid dictionary";
            return Err(invalid(&[problem.into()]));
        }
    };
    if has_both(&inner) {
        *json = inner;
    }
    Ok(())
}

#[derive(Default)]
struct Walk {
    problems: Vec<String>,
    icons: Vec<Icon>,
}

impl Walk {
    fn problem(&mut self, at: &str, what: &str) {
        self.problems.push(if at.is_empty() { what.to_owned() } else { format!("{at}: {what}") });
    }

    fn model(&mut self, model: Model, fields: &mut Map<String, Value>, at: &str) {
        for field in model {
            let at = if at.is_empty() { field.name.to_owned() } else { format!("{at}.{}", field.name) };
            match fields.get_mut(field.name) {
                None if field.needed == Needed::Yes => self.problem(&at, "Field required"),
                None => {}
                Some(Value::Null) if field.needed == Needed::No => {}
                Some(value) => self.value(&field.kind, value, &at),
            }
        }
    }

    fn value(&mut self, kind: &Kind, value: &mut Value, at: &str) {
        match (kind, value) {
            (Kind::Any, _) | (Kind::Text, Value::String(_)) | (Kind::Object, Value::Object(_)) => {}
            (Kind::Text, _) => self.problem(at, "Input should be a valid string"),
            (Kind::Object | Kind::Options, value) if !value.is_object() => {
                self.problem(at, "Input should be a valid dictionary");
            }
            (Kind::Bool, value) => self.boolean(value, at),
            (Kind::Model(model), Value::Object(fields)) => self.model(model, fields, at),
            (Kind::Closed(model), Value::Object(fields)) => {
                self.model(model, fields, at);
                fields.retain(|name, value| !value.is_null() && model.iter().any(|field| field.name == name));
            }
            (Kind::Icon, Value::Object(icon)) => self.icon(icon, at),
            (Kind::Model(_) | Kind::Closed(_) | Kind::Icon, _) => self.problem(at, NO_OBJECT),
            (Kind::List(of, limit), Value::Array(items)) => {
                if let Some(limit) = limit.filter(|limit| items.len() > *limit) {
                    let found = items.len();
                    let what =
                        format!("List should have at most {limit} items after validation, not {found}");
                    return self.problem(at, &what);
                }
                for (i, item) in items.iter_mut().enumerate() {
                    self.value(of, item, &format!("{at}.{i}"));
                }
            }
            (Kind::List(..), _) => self.problem(at, "Input should be a valid list"),
            (Kind::Options, Value::Object(options)) => {
                for (name, option) in options {
                    self.option(option, &format!("{at}.{name}"));
                }
            }
            (Kind::Object | Kind::Options, _) => {}
        }
    }

    fn boolean(&mut self, value: &mut Value, at: &str) {
        let read = match value {
            Value::Bool(_) => return,
            Value::Number(number) => match number.as_f64() {
                Some(0.0) => Some(false),
                Some(1.0) => Some(true),
                _ => None,
            },
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
                "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
                _ => None,
            },
            _ => return self.problem(at, "Input should be a valid boolean"),
        };
        match read {
            Some(read) => *value = read.into(),
            None => self.problem(at, "Input should be a valid boolean, unable to interpret input"),
        }
    }

    fn option(&mut self, option: &mut Value, at: &str) {
        let Value::Object(fields) = option else {
            return self.problem(at, "Input should be a dictionary or an instance of ConnectOptionSettings");
        };
        if let Some(hidden) = fields.get_mut("hidden") {
            self.boolean(hidden, &format!("{at}.hidden"));
        }
        fields.retain(|name, _| name == "hidden");
        fields.entry("hidden").or_insert(Value::Bool(false));
    }

    fn icon(&mut self, icon: &mut Map<String, Value>, at: &str) {
        self.model(ICON, icon, at);
        if let Some(Value::String(address)) = icon.get("src") {
            self.icons.push(Icon::Address(address.clone()));
        }
        if let Some(Value::String(kind)) = icon.get_mut("mimeType") {
            let normalized = kind.trim().to_lowercase();
            if !normalized.starts_with("image/") || normalized == "image/" {
                self.icons.push(Icon::BadType(kind.clone()));
            }
            *kind = normalized;
        }
        icon.retain(|_, value| !value.is_null());
    }
}

impl Icon {
    /// `INVALID_PARAMETER_VALUE` for a type that is none of a picture. Upstream: `_validate_mcp_icon_mime_type`.
    pub fn bad_type(kind: &str) -> Error {
        Error::invalid(format!(
            "Invalid icon mimeType {}. Allowed values must use the 'image/*' media type.",
            python::repr(kind)
        ))
    }
}

/// Takes where a picture is from off the pictures of a list, which stock tells but does not take.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for a picture that is from a version. Upstream: `_strip_mcp_icon_response_fields`.
pub fn strip_sources(icons: Option<&mut Value>, name: &str) -> Result<()> {
    let Some(icons) = icons.and_then(Value::as_array_mut) else { return Ok(()) };
    for (i, icon) in icons.iter_mut().enumerate() {
        let Value::Object(icon) = icon else { continue };
        if icon.remove("source").is_some_and(|source| source == "version") {
            return Err(Error::invalid(format!(
                "Invalid {name}[{i}].source: 'version' is response-only and cannot be written. Writing it would \
                 persist a version-resolved icon as a server override. Omit source, or send source='server' when \
                 echoing a server icon."
            )));
        }
    }
    Ok(())
}

/// The same for each tool of a list.
///
/// # Errors
/// As for [`strip_sources`].
pub fn strip_tool_sources(tools: Option<&mut Value>) -> Result<()> {
    let Some(tools) = tools.and_then(Value::as_array_mut) else { return Ok(()) };
    for (i, tool) in tools.iter_mut().enumerate() {
        strip_sources(tool.get_mut("icons"), &format!("tools[{i}].icons"))?;
    }
    Ok(())
}

/// Checks that what a version says of itself is about the server of the path, and returns its version.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `create_mcp_server_version`.
pub fn version_of(server_json: &Value, path_name: &str) -> Result<String> {
    let text = |key: &str| server_json.get(key).and_then(Value::as_str).unwrap_or_default();
    let name = text("name");
    check_name(name)?;
    check_name(path_name)?;
    if name != path_name {
        return Err(Error::invalid(format!(
            "server_json.name '{name}' does not match path parameter '{path_name}'"
        )));
    }
    if text("version").is_empty() {
        return Err(Error::invalid("server_json must contain 'name' and 'version' keys"));
    }
    Ok(text("version").to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(body: Body, json: &Value) -> String {
        check(body, json.to_string().as_bytes()).map_or_else(|e| e, |c| c.problem.unwrap()).message
    }

    #[test]
    fn every_problem_is_told_at_its_place() {
        for (body, json, want) in [
            (Body::SetTag, json!({}), "key: Field required; value: Field required"),
            (
                Body::SetTag,
                json!({"key": 5, "value": null}),
                "key: Input should be a valid string; value: Input should be a valid string",
            ),
            (Body::CreateServer, json!([]), NO_OBJECT),
            (
                Body::CreateVersion,
                json!({"server_json": {"name": "a", "packages": [{"identifier": 1}]}}),
                "server_json.version: Field required; server_json.packages.0.registryType: Field required; \
                 server_json.packages.0.identifier: Input should be a valid string; \
                 server_json.packages.0.transport: Field required",
            ),
            (
                Body::CreateVersion,
                json!({"server_json": {"server": 5}}),
                "Value error, server_json.server: Input should be a valid dictionary",
            ),
            (
                Body::UpdateServer,
                json!({"latest_version": "1"}),
                "Value error, latest_version is read-only; it is resolved automatically from semantic-version ordering",
            ),
            (
                Body::UpdateVersion,
                json!({"connect_options": {"a": 5}}),
                "connect_options.a: Input should be a dictionary or an instance of ConnectOptionSettings",
            ),
        ] {
            assert_eq!(problem(body, &json), format!("Invalid request: {want}"));
        }
        for (text, want) in
            [(&b""[..], "Field required"), (b"{", "1: JSON decode error"), (b"{x", "1: JSON decode error")]
        {
            let message = check(Body::SetTag, text).unwrap_err().message;
            assert_eq!(message, format!("Invalid request: {want}"));
        }
    }

    #[test]
    fn bodies_are_brought_into_their_form() {
        let json = json!({"server_json": {"server": {"name": "a", "version": "1", "icons":
            [{"src": "x", "mimeType": " Image/PNG ", "theme": null, "more": 1}], "_meta": {"k": null}, "x": null}},
            "tools": [{"name": "t", "title": null, "unknown": 1}], "connect_options": {"o": {"hidden": "yes"}, "p": {}}});
        let checked = check(Body::CreateVersion, json.to_string().as_bytes()).unwrap();
        assert!(checked.problem.is_none());
        assert_eq!(checked.icons, [Icon::Address("x".into())]);
        assert_eq!(
            Value::Object(checked.fields),
            json!({"server_json": {"name": "a", "version": "1", "icons":
                [{"src": "x", "mimeType": "image/png", "more": 1}], "_meta": {"k": null}, "x": null},
                "tools": [{"name": "t"}], "connect_options": {"o": {"hidden": true}, "p": {"hidden": false}}})
        );
    }

    #[test]
    fn pictures_of_versions_are_not_written_as_the_servers() {
        let mut icons = json!([{"src": "x", "source": "server"}, {"src": "y", "source": "version"}]);
        let error = strip_sources(Some(&mut icons), "icons").unwrap_err();
        assert!(error.message.starts_with("Invalid icons[1].source: 'version' is response-only"));
        assert_eq!(icons[0], json!({"src": "x"}));
    }
}
