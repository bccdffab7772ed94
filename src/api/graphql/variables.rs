//! Coercion of a query's variables to their types, with stock's messages.
//!
//! Upstream: `graphql.execution.values.get_variable_values` of graphql-core.

use apollo_compiler::Name;
use apollo_compiler::ast::Type;
use apollo_compiler::executable::Operation;
use apollo_compiler::response::{JsonMap, JsonValue};
use apollo_compiler::schema::{ExtendedType, InputObjectType, Schema};
use apollo_compiler::validation::Valid;
use serde_json::{Map, Value};

use super::suggest::did_you_mean;
use crate::domain::python;

/// Coerces the values of the variables.
///
/// # Errors
/// Every message about them.
pub(super) fn coerce(
    schema: &Schema,
    operation: &Operation,
    given: &Map<String, Value>,
) -> Result<Valid<JsonMap>, Vec<String>> {
    let (mut values, mut errors) = (JsonMap::new(), Vec::new());
    for variable in &operation.variables {
        let (name, ty) = (variable.name.as_str(), &*variable.ty);
        let key = variable.name.as_str();
        match (given.get(name), &variable.default_value) {
            (None, Some(default)) => {
                values.insert(key, literal(default));
            }
            (None, None) if ty.is_non_null() => {
                errors.push(format!("Variable '${name}' of required type '{ty}' was not provided."));
            }
            (None, None) => {}
            (Some(Value::Null), _) if ty.is_non_null() => {
                errors.push(format!("Variable '${name}' of non-null type '{ty}' must not be null."));
            }
            (Some(value), _) => {
                let mut reader = Reader { schema, name, errors: &mut errors };
                let value = reader.read(value, ty, String::new());
                values.insert(key, value);
            }
        }
    }
    if errors.is_empty() { Ok(Valid::assume_valid(values)) } else { Err(errors) }
}

/// Returns the value of a literal, which holds no variables.
fn literal(value: &apollo_compiler::ast::Value) -> JsonValue {
    use apollo_compiler::ast::Value as Literal;
    match value {
        Literal::Null | Literal::Variable(_) => JsonValue::Null,
        Literal::Enum(name) => name.as_str().into(),
        Literal::String(text) => text.as_str().into(),
        Literal::Boolean(flag) => JsonValue::Bool(*flag),
        Literal::Int(number) => number_of(number.as_str()),
        Literal::Float(number) => number_of(number.as_str()),
        Literal::List(items) => JsonValue::Array(items.iter().map(|item| literal(item)).collect()),
        Literal::Object(fields) => JsonValue::Object(
            fields.iter().map(|(name, value)| (name.as_str().into(), literal(value))).collect(),
        ),
    }
}

fn number_of(text: &str) -> JsonValue {
    serde_json::from_str::<serde_json::Number>(text).map_or(JsonValue::Null, JsonValue::Number)
}

struct Reader<'a> {
    schema: &'a Schema,
    name: &'a str,
    errors: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn read(&mut self, value: &Value, ty: &Type, path: String) -> JsonValue {
        if value.is_null() {
            if ty.is_non_null() {
                self.refuse(value, &path, &format!("Expected non-nullable type '{ty}' not to be None."));
            }
            return JsonValue::Null;
        }
        match (ty, value) {
            (Type::List(item) | Type::NonNullList(item), Value::Array(values)) => values
                .iter()
                .enumerate()
                .map(|(i, value)| self.read(value, item, format!("{path}[{i}]")))
                .collect(),
            (Type::List(item) | Type::NonNullList(item), one) => {
                JsonValue::Array(vec![self.read(one, item, path)])
            }
            (Type::Named(name) | Type::NonNullNamed(name), value) => match self.schema.types.get(name) {
                Some(ExtendedType::InputObject(object)) => self.read_object(value, object, &path),
                Some(ExtendedType::Enum(values)) => {
                    let names = values.values.keys().map(Name::as_str);
                    if let Some(reason) = wrong_enum(value, name, names) {
                        self.refuse(value, &path, &reason);
                    }
                    value.clone().into()
                }
                _ => {
                    if let Some(reason) = wrong_scalar(value, name) {
                        self.refuse(value, &path, &reason);
                    }
                    value.clone().into()
                }
            },
        }
    }

    fn read_object(&mut self, value: &Value, object: &InputObjectType, path: &str) -> JsonValue {
        let Value::Object(fields) = value else {
            self.refuse(value, path, &format!("Expected type '{}' to be a mapping.", object.name));
            return JsonValue::Null;
        };
        let mut out = JsonMap::new();
        for (name, given) in fields {
            if let Some(field) = object.fields.get(name.as_str()) {
                let inner = self.read(given, &field.ty, format!("{path}.{name}"));
                out.insert(name.as_str(), inner);
            } else {
                let known = object.fields.keys().map(Name::as_str);
                let reason = format!(
                    "Field '{name}' is not defined by type '{}'.{}",
                    object.name,
                    did_you_mean("", name, known)
                );
                self.refuse(value, path, &reason);
            }
        }
        JsonValue::Object(out)
    }

    fn refuse(&mut self, value: &Value, path: &str, reason: &str) {
        let (name, shown) = (self.name, python::json_repr(value));
        let place = if path.is_empty() { String::new() } else { format!(" at '{name}{path}'") };
        self.errors.push(format!("Variable '${name}' got invalid value {shown}{place}; {reason}"));
    }
}

fn wrong_enum<'a>(
    value: &Value,
    ty: &str,
    mut names: impl Iterator<Item = &'a str> + Clone,
) -> Option<String> {
    let Value::String(given) = value else {
        let shown = python::json_repr(value);
        return Some(format!("Enum '{ty}' cannot represent non-string value: {shown}."));
    };
    let suggestion = did_you_mean("the enum value ", given, names.clone());
    (!names.any(|name| name == given))
        .then(|| format!("Value '{given}' does not exist in '{ty}' enum.{suggestion}"))
}

fn wrong_scalar(value: &Value, ty: &str) -> Option<String> {
    let shown = || python::json_repr(value);
    match ty {
        "String" => {
            (!value.is_string()).then(|| format!("String cannot represent a non string value: {}", shown()))
        }
        "Int" => match value {
            Value::Number(number) if number.as_f64().is_some_and(|n| n.fract() == 0.0) => number
                .as_f64()
                .is_none_or(|n| !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&n))
                .then(|| format!("Int cannot represent non 32-bit signed integer value: {}", shown())),
            _ => Some(format!("Int cannot represent non-integer value: {}", shown())),
        },
        // An integer or a string that holds one.
        _ => (!is_int_like(value)).then(|| format!("Expected type '{ty}'.")),
    }
}

fn is_int_like(value: &Value) -> bool {
    value.as_str().map_or(value.is_number(), |text| python::parse_int(text).is_some())
}
