//! GraphQL: the UI's way to one experiment and one run.
//!
//! The types are in `schema.graphql`; parsing, validation and execution are apollo-compiler's, which takes a schema
//! as text and asks for one field at a time, so that the protocol's messages serve as they are: no second set of
//! types, no macros. Errors are what graphql-core, which stock uses, says of the same mistake.
//!
//! - `limits.rs` — how large a query may be.
//! - `variables.rs` — variables and their types.
//! - `resolve.rs` — fields to calls of the store and to parts of messages.
//! - `suggest.rs` — "Did you mean …?"
//!
//! Upstream: `mlflow.server.handlers._graphql`, `mlflow.server.graphql`.

mod limits;
mod resolve;
mod suggest;
mod variables;

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse};
use apollo_compiler::ast::Document;
use apollo_compiler::executable::Operation;
use apollo_compiler::parser::Parser;
use apollo_compiler::resolvers::Execution;
use apollo_compiler::response::JsonMap;
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{ExecutableDocument, Name, Node, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::body::Body;
use crate::api::extract::check_content_type;
use crate::api::reply;
use crate::api::state::App;
use crate::domain::validate::Limits;
use crate::domain::{Error, Result};
use resolve::Root;
use suggest::did_you_mean;

/// Read when the first query comes.
static SCHEMA: LazyLock<Valid<Schema>> = LazyLock::new(|| {
    Schema::parse_and_validate(include_str!("schema.graphql"), "schema.graphql")
        .expect("a constant that a test reads")
});

/// More than any query within the limits needs.
const MAX_TOKENS: usize = 100_000;
const MAX_NESTING: usize = 200;

/// A GraphQL request body.
#[derive(Debug, Deserialize)]
pub struct Question {
    query: String,
    variables: Option<Map<String, Value>>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
}

impl Question {
    /// Reads a body.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for an invalid request.
    pub fn read(body: &[u8]) -> Result<Self> {
        serde_json::from_slice(body)
            .map_err(|e| Error::invalid(format!("The GraphQL request cannot be read: {e}")))
    }
}

/// Keys come in alphabetical order, as stock's do.
#[derive(Serialize)]
struct Answer {
    data: Value,
    errors: Option<Vec<String>>,
}

impl Answer {
    const fn refusal(errors: Vec<String>) -> Self {
        Self { data: Value::Null, errors: Some(errors) }
    }
}

/// `POST /graphql`, and `GET` with a body. Errors of a query are part of a successful answer.
///
/// Differs: stock fails with a 500 for an invalid request body and for a query that is not GraphQL; here that
/// is `INVALID_PARAMETER_VALUE`. Upstream: `_graphql`.
pub async fn graphql(app: App, request: HttpRequest, body: Body) -> Result<HttpResponse> {
    check_content_type(&request)?;
    let question = body.read_json(&[], |_counts| Ok(()), Question::read).await?;
    let answer = match Plan::of(&question, &app.limits)? {
        Ok(plan) => answer(app, request.query_string(), &plan).await,
        Err(errors) => Answer::refusal(errors),
    };
    Ok(reply::answer(answer, b"\n"))
}

fn parse(query: &str) -> Result<Document> {
    let mut parser = Parser::new().token_limit(MAX_TOKENS).recursion_limit(MAX_NESTING);
    let document = parser.parse_ast(query, "query").map_err(|e| {
        let errors: Vec<String> = e.errors.iter().map(|error| error.error.to_string()).collect();
        Error::invalid(format!("Syntax Error: {}", errors.join("; ")))
    })?;
    if document.definitions.is_empty() {
        return Err(Error::invalid("Syntax Error: Unexpected <EOF>."));
    }
    Ok(document)
}

/// An execution plan: a validated query within the limits.
#[derive(Debug)]
pub struct Plan {
    document: Valid<ExecutableDocument>,
    operation: Node<Operation>,
    variables: Valid<JsonMap>,
}

impl Plan {
    /// Validates a request; the inner result has the errors of its query or its variables.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a query that is no GraphQL.
    pub fn of(question: &Question, limits: &Limits) -> Result<std::result::Result<Self, Vec<String>>> {
        let document = parse(&question.query)?;
        Ok(Self::of_document(&document, question, limits))
    }

    fn of_document(
        document: &Document,
        question: &Question,
        limits: &Limits,
    ) -> std::result::Result<Self, Vec<String>> {
        limits::check(document, limits).map_err(|error| vec![error])?;
        let document = document.to_executable_validate(&SCHEMA).map_err(|e| messages(&e.errors))?;
        let operation =
            choose(&document, question.operation_name.as_deref()).map_err(|error| vec![error])?.clone();
        let given = question.variables.clone().unwrap_or_default();
        let variables = variables::coerce(&SCHEMA, &operation, &given)?;
        Ok(Self { document, operation, variables })
    }
}

async fn answer(app: App, url_query: &str, plan: &Plan) -> Answer {
    let root = Root::new(app, plan.operation.object_type().as_str(), url_query);
    let execution = Execution::new(&SCHEMA, &plan.document)
        .operation(&plan.operation)
        .coerced_variable_values(&plan.variables)
        .enable_schema_introspection(true);
    match execution.execute_async(&root).await {
        Ok(response) => {
            let errors: Vec<String> = response.errors.iter().map(|e| own_words(&e.message)).collect();
            let mut data = serde_json::to_value(response.data).unwrap_or_default();
            data.sort_all_objects();
            Answer { data, errors: (!errors.is_empty()).then_some(errors) }
        }
        Err(e) => Answer::refusal(vec![e.message().to_string()]),
    }
}

/// Strips the library's prefix from the message of a resolver.
fn own_words(message: &str) -> String {
    message.strip_prefix("resolver error: ").unwrap_or(message).to_owned()
}

fn choose<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Result<&'a Node<Operation>, String> {
    let operations = &document.operations;
    match name.filter(|name| !name.is_empty()) {
        Some(name) => operations.get(Some(name)).map_err(|_e| format!("Unknown operation named '{name}'.")),
        None if operations.is_empty() => Err("Must provide an operation.".into()),
        None => operations
            .get(None)
            .map_err(|_e| "Must provide operation name if query contains multiple operations.".into()),
    }
}

/// Words the errors of a query as graphql-core does: names in single quotes, and with a suggestion.
fn messages(errors: &DiagnosticList) -> Vec<String> {
    let words =
        errors.iter().map(|e| e.error.unstable_compat_message().unwrap_or_else(|| e.error.to_string()));
    let mut words: Vec<String> = words.map(|text| reword(&text)).collect();
    // The library continues after an error and then reports consequential errors.
    for (cause, consequence) in [
        ("Cannot query field ", "must have a selection of subfields"),
        ("must not have a selection ", "must have a selection of subfields"),
        ("Unknown type ", "used in position expecting type"),
    ] {
        if words.iter().any(|text| text.contains(cause)) {
            words.retain(|text| !text.contains(consequence));
        }
    }
    words
}

fn reword(text: &str) -> String {
    if let Some((ty, value)) = text.split_once(" cannot represent value: ") {
        return match ty {
            "String" => format!("String cannot represent a non string value: {value}"),
            "Int" => format!("Int cannot represent non-integer value: {value}"),
            "Float" => format!("Float cannot represent non numeric value: {value}"),
            _ => format!("Expected value of type '{ty}', found {value}."),
        };
    }
    let text = text.replace('"', "'");
    if let Some((field, ty)) = unknown_field(&text)
        && let Some(object) = SCHEMA.get_object(ty)
    {
        return format!("{text}{}", did_you_mean("", field, object.fields.keys().map(Name::as_str)));
    }
    if let Some((field, parent)) = missing_selection(&text)
        && let Ok(definition) = SCHEMA.type_field(parent, field)
    {
        return text.replacen(parent, &definition.ty.to_string(), 1);
    }
    if text.starts_with("Field '") && text.ends_with(" has no subfields") {
        return format!("{text}.");
    }
    if text == "The schema has no 'subscription' root type defined" {
        return "Schema is not configured to execute subscription operation.".to_owned();
    }
    text
}

/// Takes apart `Field 'f' of type 'T' must have a selection …`, where the library names the type that has the field.
fn missing_selection(message: &str) -> Option<(&str, &str)> {
    let (field, rest) = message.strip_prefix("Field '")?.split_once("' of type '")?;
    let (parent, rest) = rest.split_once('\'')?;
    rest.starts_with(" must have a selection").then_some((field, parent))
}

/// Takes apart `Cannot query field 'x' on type 'T'.`
fn unknown_field(message: &str) -> Option<(&str, &str)> {
    let rest = message.strip_prefix("Cannot query field '")?.strip_suffix("'.")?;
    rest.split_once("' on type '")
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod query_tests {
    use super::*;

    fn errors(query: &str) -> Vec<String> {
        let document = parse(query).unwrap().to_executable_validate(&SCHEMA);
        document.map_or_else(|e| messages(&e.errors), |_| Vec::new())
    }

    #[test]
    fn refuses_with_the_words_of_stock() {
        for (query, want) in [
            ("{ nope }", "Cannot query field 'nope' on type 'Query'."),
            (
                "{ mlflowGetExperiment(input: {}) { experiment { nope } } }",
                "Cannot query field 'nope' on type 'MlflowExperiment'. Did you mean 'name'?",
            ),
            (
                "{ mlflowGetExperimen { x } }",
                "Cannot query field 'mlflowGetExperimen' on type 'Query'. Did you mean 'mlflowGetExperiment' or \
                 'mlflowGetRun'?",
            ),
            ("query($i: Nope!) { test(inputString: $i) { output } }", "Unknown type 'Nope'."),
            ("{ test(inputString: 1) { output } }", "String cannot represent a non string value: 1"),
            ("{ test(x: 1) { output } }", "Unknown argument 'x' on field 'Query.test'."),
            (
                "{ test(inputString: \"a\") }",
                "Field 'test' of type 'Test' must have a selection of subfields. Did you mean 'test { ... }'?",
            ),
            (
                "{ mlflowSearchRuns(input: 5) { nextPageToken } }",
                "Expected value of type 'MlflowSearchRunsInput', found 5.",
            ),
            (
                "{ mlflowSearchRuns(input: {maxResults: \"1\"}) { nextPageToken } }",
                "Int cannot represent non-integer value: \"1\"",
            ),
            ("subscription { x }", "Schema is not configured to execute subscription operation."),
            (
                "{ test(inputString: \"a\") { output { x } } }",
                "Field 'output' must not have a selection since type 'String' has no subfields.",
            ),
            ("query @nope { test { output } }", "Unknown directive '@nope'."),
            (
                "query @component { test { output } }",
                "Directive '@component' argument 'name' of type 'String!' is required, but it was not provided.",
            ),
            ("{ ...F }", "Unknown fragment 'F'."),
            ("{ test(inputString: $x) { output } }", "Variable '$x' is not defined."),
            (
                "{ mlflowSearchRuns(input: {runViewType: NO}) { nextPageToken } }",
                "Value 'NO' does not exist in 'MlflowViewType' enum.",
            ),
            (
                "query($a: Int) { test(inputString: $a) { output } }",
                "Variable '$a' of type 'Int' used in position expecting type 'String'.",
            ),
        ] {
            assert_eq!(errors(query), [want], "{query}");
        }
    }

    #[test]
    fn the_directive_of_the_ui_is_known() {
        assert!(errors("query Q @component(name: \"MLflow\") { test { output __typename } }").is_empty());
    }

    #[test]
    fn what_is_no_graphql_is_refused() {
        for query in ["", "{", "{ a(", "x", &"{a".repeat(1000)] {
            assert!(parse(query).unwrap_err().message.starts_with("Syntax Error: "), "{query}");
        }
    }
}
