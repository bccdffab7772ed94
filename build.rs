//! Compiles `proto/*.proto` to Rust and puts MLflow's JSON rules on the messages as serde attributes.
//! The rules themselves are in `src/proto/json.rs`; here is only which field gets which.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// The messages of protobuf's own that have a JSON form of their own, in `src/proto/well_known.rs`.
const WELL_KNOWN: [&str; 4] = ["Duration", "FieldMask", "Timestamp", "Value"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut files: Vec<PathBuf> =
        fs::read_dir("proto")?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    let set = protox::compile(&files, ["proto"])?;

    let mut config = prost_build::Config::new();
    for name in WELL_KNOWN {
        config.extern_path(format!(".google.protobuf.{name}"), format!("crate::proto::well_known::{name}"));
    }
    config.message_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)] #[serde(default)]");
    // Sorted, so that the same map is always written alike.
    config.btree_map(["."]);
    let mut impls = String::new();
    for_each_type(&set, |path, rust, kind| match kind {
        Kind::Message(message) => {
            for field in &message.field {
                config.field_attribute(format!("{path}.{}", field.name()), serde_attribute(field, message));
            }
            impls.push_str(&fields_impl(rust, message));
        }
        Kind::Enum => impls.push_str(&enumeration_impl(rust)),
    });
    config.compile_fds(set)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("impls.rs"), impls)?;
    Ok(())
}

enum Kind<'a> {
    Message(&'a DescriptorProto),
    Enum,
}

/// Calls `visit` with the proto path, the Rust path and the descriptor of every message and enum.
fn for_each_type(set: &FileDescriptorSet, mut visit: impl FnMut(&str, &str, Kind<'_>)) {
    fn walk(
        message: &DescriptorProto,
        path: &str,
        module: &str,
        visit: &mut impl FnMut(&str, &str, Kind<'_>),
    ) {
        let path = format!("{path}.{}", message.name());
        visit(&path, &format!("{module}{}", message.name()), Kind::Message(message));
        let module = format!("{module}{}::", snake_case(message.name()));
        for nested in message.nested_type.iter().filter(|nested| !is_map_entry(nested)) {
            walk(nested, &path, &module, visit);
        }
        for nested in &message.enum_type {
            let path = format!("{path}.{}", nested.name());
            visit(&path, &format!("{module}{}", nested.name()), Kind::Enum);
        }
    }
    for file in set.file.iter().filter(|file| file.package() == "mlflow") {
        let package = format!(".{}", file.package());
        for message in &file.message_type {
            walk(message, &package, "", &mut visit);
        }
        for item in &file.enum_type {
            visit(&format!("{package}.{}", item.name()), item.name(), Kind::Enum);
        }
    }
}

/// Says whether a message is what protobuf makes of an entry of a map; there is no such type in Rust.
fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry)
}

/// Returns the field of a map's values, if `field` of `message` is a map.
fn map_value<'a>(
    field: &FieldDescriptorProto,
    message: &'a DescriptorProto,
) -> Option<&'a FieldDescriptorProto> {
    let name = field.type_name().rsplit('.').next()?;
    let entry = message.nested_type.iter().find(|nested| is_map_entry(nested) && nested.name() == name)?;
    entry.field.iter().find(|field| field.name() == "value")
}

fn serde_attribute(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let mut attributes = Vec::new();
    if camel_case(field.name()) != field.name() {
        attributes.push(format!("alias = \"{}\"", camel_case(field.name())));
    }
    if map_value(field, message).is_some() {
        let is_empty = "::prost::alloc::collections::BTreeMap::is_empty";
        attributes.push(format!("skip_serializing_if = \"{is_empty}\""));
        attributes.push("deserialize_with = \"crate::proto::json::map\"".to_owned());
        return format!("#[serde({})]", attributes.join(", "));
    }
    if field.label() == Label::Repeated {
        attributes.push("skip_serializing_if = \"Vec::is_empty\"".to_owned());
        let reader = if is_ours(field, Type::Message) { "messages" } else { "list" };
        attributes.push(format!("deserialize_with = \"crate::proto::json::{reader}\""));
        return format!("#[serde({})]", attributes.join(", "));
    }
    attributes.push("skip_serializing_if = \"Option::is_none\"".to_owned());
    match field.r#type() {
        Type::Int64 => attributes.push("deserialize_with = \"crate::proto::json::int64\"".to_owned()),
        Type::Int32 => attributes.push("deserialize_with = \"crate::proto::json::int32\"".to_owned()),
        Type::Double => attributes.push("with = \"crate::proto::json::double\"".to_owned()),
        Type::Enum => {
            let name = rust_path(field.type_name());
            attributes.push(format!("with = \"crate::proto::json::Named::<crate::proto::{name}>\""));
        }
        Type::Message if is_ours(field, Type::Message) => {
            attributes.push("deserialize_with = \"crate::proto::json::message\"".to_owned());
        }
        _ => {}
    }
    format!("#[serde({})]", attributes.join(", "))
}

/// Implements `Fields`: what the reader of requests must know of a message.
fn fields_impl(rust: &str, message: &DescriptorProto) -> String {
    let mut table = String::new();
    let mut arms = String::new();
    for field in &message.field {
        let (name, rust_name) = (field.name(), rust_field_name(field.name()));
        let many = field.label() == Label::Repeated;
        let map_value = map_value(field, message);
        let ty =
            map_value.map_or_else(|| field_type(field), |value| format!("Type::Map(&{})", field_type(value)));
        let _ = write!(
            table,
            "Field {{ name: \"{name}\", json_name: \"{}\", ty: {ty}, is_repeated: {} }}, ",
            camel_case(name),
            many && map_value.is_none()
        );
        let test = match (many, field.r#type()) {
            (true, _) => format!("!self.{rust_name}.is_empty()"),
            (false, Type::String) => format!("self.{rust_name}.as_ref().is_some_and(|s| !s.is_empty())"),
            (false, _) => format!("self.{rust_name}.is_some()"),
        };
        let _ = write!(arms, "\"{name}\" => {test}, ");
    }
    format!(
        "impl Fields for {rust} {{\n    const FIELDS: &'static [Field] = &[{table}];\n    \
         fn is_set(&self, field: &str) -> bool {{ match field {{ {arms}_ => false }} }}\n}}\n"
    )
}

/// Writes the type of a field as `crate::proto::Type`.
fn field_type(field: &FieldDescriptorProto) -> String {
    let name = || rust_path(field.type_name());
    match field.r#type() {
        Type::String => "Type::Str".to_owned(),
        Type::Bool => "Type::Bool".to_owned(),
        Type::Int64 => "Type::Int64".to_owned(),
        Type::Int32 => "Type::Int32".to_owned(),
        Type::Double => "Type::Double".to_owned(),
        Type::Enum => format!("Type::Enum(EnumType::of::<{}>())", name()),
        Type::Message if is_ours(field, Type::Message) => format!("Type::Message(fields_of::<{}>)", name()),
        Type::Message if is_well_known(field) && field.type_name() != VALUE => {
            format!("Type::Text(is_text_of::<{}>)", name())
        }
        _ => "Type::Other".to_owned(),
    }
}

/// Says whether a field is of a type that our files declare, and not of protobuf's own.
fn is_ours(field: &FieldDescriptorProto, kind: Type) -> bool {
    field.r#type() == kind && field.type_name().starts_with(".mlflow.")
}

/// Any JSON, which has no form of its own.
const VALUE: &str = ".google.protobuf.Value";

fn is_well_known(field: &FieldDescriptorProto) -> bool {
    let name = field.type_name().strip_prefix(".google.protobuf.");
    name.is_some_and(|name| WELL_KNOWN.contains(&name))
}

/// `.mlflow.CreateRun.Response` is `create_run::Response` in Rust.
fn rust_path(type_name: &str) -> String {
    if let Some(name) = type_name.strip_prefix(".google.protobuf.") {
        return format!("well_known::{name}");
    }
    let mut names: Vec<&str> = type_name.trim_start_matches(".mlflow.").split('.').collect();
    let last = names.pop().unwrap_or_default();
    names.iter().map(|outer| format!("{}::", snake_case(outer))).chain([last.to_owned()]).collect()
}

fn enumeration_impl(rust: &str) -> String {
    format!(
        "impl Enumeration for {rust} {{\n    fn name(self) -> &'static str {{ self.as_str_name() }}\n    \
         fn from_name(name: &str) -> Option<Self> {{ Self::from_str_name(name) }}\n}}\n"
    )
}

fn rust_field_name(name: &str) -> String {
    if matches!(name, "type" | "match" | "ref" | "use") { format!("r#{name}") } else { name.to_owned() }
}

fn camel_case(name: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
