//! Label schemas. Every experiment has one that nobody may change; it is made when the experiment is first asked for its
//! schemas.

#[cfg(test)]
mod tests;

use diesel::prelude::*;
use uuid::Uuid;

use super::conn::Conn;
use super::error::is_unique_violation;
use super::experiments::active_experiment_id;
use super::schema::label_schemas;
use super::{Store, each};
use crate::domain::ids::{ExperimentId, LabelSchemaId};
use crate::domain::label_schema::{Input, LabelSchemaUpdate, NewLabelSchema};
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::time::now_ms;
use crate::domain::{Error, Result};
use crate::proto::label_schema::Type;
use crate::proto::{LabelSchema, ListLabelSchemas, list_label_schemas};

/// How many schemas a page has where nothing is asked.
const DEFAULT_PAGE: i32 = 100;
const FEEDBACK: &str = "feedback";
const EXPECTATION: &str = "expectation";

impl Store {
    /// Stores a label schema. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an experiment that is unknown or deleted, `RESOURCE_ALREADY_EXISTS` for a name in
    /// use. Upstream: `SqlAlchemyStore.create_label_schema`.
    pub async fn create_label_schema(
        &self,
        experiment_id: ExperimentId,
        new: NewLabelSchema,
    ) -> Result<LabelSchema> {
        self.write(move |conn| {
            let number = active_experiment_id(conn, &experiment_id)?;
            let row = SchemaRow::new(number, &new, false);
            if insert(conn, &row)? == 0 {
                return Err(name_taken(&new.name, experiment_id.as_str()));
            }
            row.into_message()
        })
        .await
    }

    /// Returns a label schema.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_label_schema(&self, id: LabelSchemaId) -> Result<LabelSchema> {
        self.read(move |conn| get_row(conn, &id)?.into_message()).await
    }

    /// Returns the label schema of a name.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`, also for an experiment that is unknown or deleted.
    pub async fn get_label_schema_by_name(
        &self,
        experiment_id: ExperimentId,
        name: String,
    ) -> Result<LabelSchema> {
        self.read(move |conn| {
            let number = active_experiment_id(conn, &experiment_id)?;
            let row = each!(conn, c => label_schemas::table
                .filter(label_schemas::experiment_id.eq(number))
                .filter(label_schemas::name.eq(&name))
                .select(SchemaRow::as_select())
                .first(c)
                .optional())?;
            let missing = || {
                Error::not_found(format!(
                    "Label schema with name '{name}' not found for experiment '{experiment_id}'."
                ))
            };
            row.ok_or_else(missing)?.into_message()
        })
        .await
    }

    /// Returns a page of the label schemas of an experiment, the newest first, and the token of the next page if there
    /// is one. The first to ask has the schema made that every experiment has; all others only read.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an experiment that is unknown or deleted; `INVALID_PARAMETER_VALUE` for a bad
    /// token. Upstream: `SqlAlchemyStore.list_label_schemas`.
    pub async fn list_label_schemas(&self, r: ListLabelSchemas) -> Result<list_label_schemas::Response> {
        let offset = parse_offset_token(r.page_token.as_deref())?;
        let limit = i64::from(r.max_results.unwrap_or(DEFAULT_PAGE));
        let id = ExperimentId::parse(r.experiment_id())?;
        let experiment = id.clone();
        let has_default = self.read(move |conn| has_default(conn, &experiment)).await?;
        if !has_default {
            let experiment = id.clone();
            self.write(move |conn| make_default(conn, &experiment)).await?;
        }
        self.read(move |conn| list_in(conn, &id, limit, offset)).await
    }

    /// Changes a label schema. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for what may not be changed; `RESOURCE_ALREADY_EXISTS` for a
    /// name in use. Upstream: `SqlAlchemyStore.update_label_schema`.
    pub async fn update_label_schema(
        &self,
        id: LabelSchemaId,
        update: LabelSchemaUpdate,
    ) -> Result<LabelSchema> {
        self.write(move |conn| update_in(conn, &id, &update)).await
    }

    /// Deletes a label schema; that there is none is no error.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for the one that every experiment has. Upstream: `SqlAlchemyStore.delete_label_schema`.
    pub async fn delete_label_schema(&self, id: LabelSchemaId) -> Result<()> {
        self.write(move |conn| {
            let row = label_schemas::table.find(id.as_str());
            let is_default: Option<bool> =
                each!(conn, c => row.select(label_schemas::is_default).first(c).optional())?;
            if is_default == Some(true) {
                return Err(Error::invalid("The experiment's default question cannot be deleted."));
            }
            each!(conn, c => diesel::delete(label_schemas::table.find(id.as_str())).execute(c))?;
            Ok(())
        })
        .await
    }
}

/// A row of `label_schemas`.
#[derive(Queryable, Selectable, Insertable, Debug)]
#[diesel(table_name = label_schemas, treat_none_as_default_value = false)]
struct SchemaRow {
    schema_id: String,
    experiment_id: i32,
    name: String,
    schema_type: String,
    instruction: Option<String>,
    enable_comment: bool,
    input_type: String,
    input_config: String,
    created_by: Option<String>,
    created_time: i64,
    last_update_time: i64,
    is_default: bool,
}

impl SchemaRow {
    fn new(experiment_id: i32, new: &NewLabelSchema, is_default: bool) -> Self {
        let (input_type, input_config) = new.input.stored();
        let now = now_ms();
        let schema_type = if new.schema_type == Type::Expectation { EXPECTATION } else { FEEDBACK };
        Self {
            schema_id: format!("ls-{}", Uuid::new_v4().simple()),
            experiment_id,
            name: new.name.clone(),
            schema_type: schema_type.into(),
            instruction: new.instruction.clone(),
            enable_comment: new.enable_comment,
            input_type: input_type.into(),
            input_config,
            created_by: None,
            created_time: now,
            last_update_time: now,
            is_default,
        }
    }

    fn into_message(self) -> Result<LabelSchema> {
        let input = Input::parse(&self.input_type, &self.input_config)?;
        let schema_type = if self.schema_type == EXPECTATION { Type::Expectation } else { Type::Feedback };
        Ok(LabelSchema {
            schema_id: Some(self.schema_id),
            experiment_id: Some(self.experiment_id.to_string()),
            name: Some(self.name),
            r#type: Some(schema_type.into()),
            instruction: self.instruction,
            enable_comment: Some(self.enable_comment),
            input: Some(input.into_message()),
            created_by: self.created_by,
            created_at: Some(self.created_time),
            last_updated_at: Some(self.last_update_time),
            is_default: Some(self.is_default),
        })
    }
}

fn name_taken(name: &str, experiment_id: &str) -> Error {
    Error::already_exists(format!(
        "Label schema with name '{name}' already exists for experiment '{experiment_id}'."
    ))
}

fn get_row(conn: &mut Conn, id: &str) -> Result<SchemaRow> {
    let row = each!(conn, c => label_schemas::table
        .find(id)
        .select(SchemaRow::as_select())
        .first(c)
        .optional())?;
    row.ok_or_else(|| Error::not_found(format!("Label schema with id '{id}' not found.")))
}

/// Adds a row unless its name is in use; returns how many were added.
fn insert(conn: &mut Conn, row: &SchemaRow) -> Result<usize> {
    Ok(each!(conn, c => diesel::insert_into(label_schemas::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?)
}

fn has_default(conn: &mut Conn, experiment_id: &ExperimentId) -> Result<bool> {
    let number = active_experiment_id(conn, experiment_id)?;
    let found: i64 = each!(conn, c => label_schemas::table
        .filter(label_schemas::experiment_id.eq(number))
        .filter(label_schemas::is_default.eq(true))
        .count()
        .get_result(c))?;
    Ok(found > 0)
}

fn make_default(conn: &mut Conn, experiment_id: &ExperimentId) -> Result<()> {
    if !has_default(conn, experiment_id)? {
        let number = active_experiment_id(conn, experiment_id)?;
        insert(conn, &SchemaRow::new(number, &NewLabelSchema::of_every_experiment(), true))?;
    }
    Ok(())
}

fn list_in(
    conn: &mut Conn,
    id: &ExperimentId,
    limit: i64,
    offset: i64,
) -> Result<list_label_schemas::Response> {
    let number = active_experiment_id(conn, id)?;
    let mut rows: Vec<SchemaRow> = each!(conn, c => label_schemas::table
        .filter(label_schemas::experiment_id.eq(number))
        .order((label_schemas::created_time.desc(), label_schemas::schema_id))
        .limit(limit + 1)
        .offset(offset)
        .select(SchemaRow::as_select())
        .load(c))?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let token = if rows.len() > size { offset_token(offset.saturating_add(limit)) } else { String::new() };
    rows.truncate(size);
    let schemas = rows.into_iter().map(SchemaRow::into_message).collect::<Result<Vec<_>>>()?;
    Ok(list_label_schemas::Response { label_schemas: schemas, next_page_token: Some(token) })
}

fn update_in(conn: &mut Conn, id: &str, update: &LabelSchemaUpdate) -> Result<LabelSchema> {
    let mut row = get_row(conn, id)?;
    update.validate(row.is_default, &Input::parse(&row.input_type, &row.input_config)?)?;
    if let Some(name) = &update.name {
        row.name.clone_from(name);
    }
    if let Some(instruction) = &update.instruction {
        row.instruction = Some(instruction.clone());
    }
    if let Some(enable_comment) = update.enable_comment {
        row.enable_comment = enable_comment;
    }
    if let Some(input) = &update.input {
        let (kind, config) = input.stored();
        (row.input_type, row.input_config) = (kind.into(), config);
    }
    row.last_update_time = now_ms();
    let new = (
        label_schemas::name.eq(&row.name),
        label_schemas::instruction.eq(&row.instruction),
        label_schemas::enable_comment.eq(row.enable_comment),
        label_schemas::input_config.eq(&row.input_config),
        label_schemas::last_update_time.eq(row.last_update_time),
    );
    each!(conn, c => diesel::update(label_schemas::table.find(id)).set(new).execute(c)).map_err(|e| {
        if is_unique_violation(&e) {
            return name_taken(&row.name, &row.experiment_id.to_string()).with_source(e);
        }
        e.into()
    })?;
    row.into_message()
}
