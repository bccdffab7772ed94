//! Registered models: their life, tags and aliases, and how rows become [`RegisteredModel`] messages. Their versions are
//! in `versions.rs`, new ones in `create.rs`, the searches in `search.rs`.
//!
//! Everything that writes takes the lock of the model's row first, so that two writers of one model cannot deadlock and
//! the numbers of versions have no gaps.

mod create;
mod search;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel::upsert::excluded;

use super::conn::Conn;
use super::error::is_unique_violation;
use super::schema::{
    model_version_tags, model_versions, registered_model_aliases, registered_model_tags, registered_models,
};
use super::statement::{Bind, json_list, statement};
use super::{Store, each};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::ids::{ModelAlias, ModelName, Tag, VersionText};
use crate::domain::registry::{
    NewRegisteredModel, VersionKey, name_taken, validate_alias, validate_model_tag, validate_name,
    validate_new_alias, validate_new_name, validate_tag_key,
};
use crate::domain::time::now_ms;
use crate::domain::webhook::change::{Change, What};
use crate::domain::{Error, Result};
use crate::proto::{RegisteredModel, RegisteredModelAlias, RegisteredModelTag};
pub use create::VersionFolder;
use versions::{latest_versions, version_messages};

/// Rows that go into one statement: few enough for the binds of either database.
const ROWS_PER_STATEMENT: usize = 1000;

impl Store {
    /// Stores a registered model. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_ALREADY_EXISTS` for a name in use. Upstream: `SqlAlchemyStore.create_registered_model`.
    pub async fn create_registered_model(&self, new: NewRegisteredModel) -> Result<RegisteredModel> {
        self.write_announced(move |conn| {
            let (tags, description) = (new.tags.clone(), Some(new.description.clone()));
            Ok((create_in(conn, &new)?, Change::new(&new.name, What::Created { tags, description })))
        })
        .await
    }

    /// Returns a registered model with its tags, aliases and the newest version of each stage.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for a name that no model can have.
    pub async fn get_registered_model(&self, name: ModelName) -> Result<RegisteredModel> {
        self.read(move |conn| {
            let row = get_row(conn, &name)?;
            single(conn, row)
        })
        .await
    }

    /// Gives a registered model a new name, which its versions, tags and aliases follow. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`, and `RESOURCE_ALREADY_EXISTS` for a name in use. Upstream:
    /// `SqlAlchemyStore.rename_registered_model`.
    pub async fn rename_registered_model(
        &self,
        name: ModelName,
        new_name: String,
    ) -> Result<RegisteredModel> {
        validate_new_name(&new_name)?;
        self.write(move |conn| rename_in(conn, &name, &new_name)).await
    }

    /// Describes a registered model. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn update_registered_model(
        &self,
        name: ModelName,
        description: String,
    ) -> Result<RegisteredModel> {
        self.write(move |conn| {
            let mut row = lock_model(conn, &name)?;
            row.last_updated_time = Some(now_ms());
            row.description = Some(description.clone());
            let model = registered_models::table.find((DEFAULT_WORKSPACE, name.as_str()));
            let new = (
                registered_models::description.eq(&description),
                registered_models::last_updated_time.eq(row.last_updated_time),
            );
            each!(conn, c => diesel::update(model).set(new).execute(c))?;
            single(conn, row)
        })
        .await
    }

    /// Deletes a registered model with everything that belongs to it. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn delete_registered_model(&self, name: ModelName) -> Result<()> {
        self.write(move |conn| delete_in(conn, &name)).await
    }

    /// Writes a tag of a registered model over an earlier value. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for a bad key or value.
    pub async fn set_registered_model_tag(&self, name: ModelName, tag: Tag) -> Result<()> {
        validate_name(&name)?;
        validate_model_tag(&tag.key, &tag.value)?;
        self.write_announced(move |conn| {
            lock_model(conn, &name)?;
            upsert_tags(conn, &name, std::slice::from_ref(&tag))?;
            let Tag { key, value } = tag.clone();
            Ok(((), Change::new(&name, What::TagSet { key, value })))
        })
        .await
    }

    /// Removes a tag of a registered model; that there is none is no error. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown model.
    pub async fn delete_registered_model_tag(&self, name: ModelName, key: String) -> Result<()> {
        validate_name(&name)?;
        validate_tag_key(&key)?;
        self.write_announced(move |conn| {
            lock_model(conn, &name)?;
            let tag = registered_model_tags::table.find((DEFAULT_WORKSPACE, key.as_str(), name.as_str()));
            each!(conn, c => diesel::delete(tag).execute(c))?;
            Ok(((), Change::new(&name, What::TagDeleted { key: key.clone() })))
        })
        .await
    }

    /// Lets an alias name a version, whatever it named before. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown version, `INVALID_PARAMETER_VALUE` for a bad alias. Upstream:
    /// `SqlAlchemyStore.set_registered_model_alias`.
    pub async fn set_registered_model_alias(
        &self,
        name: ModelName,
        alias: ModelAlias,
        version: VersionText,
    ) -> Result<()> {
        validate_name(&name)?;
        validate_new_alias(&alias)?;
        let key = VersionKey::of(name, &version)?;
        self.write_announced(move |conn| {
            let (_, row) = versions::lock_version(conn, &key)?;
            let new = (
                registered_model_aliases::workspace.eq(DEFAULT_WORKSPACE),
                registered_model_aliases::name.eq(key.name.as_str()),
                registered_model_aliases::alias.eq(alias.as_str()),
                registered_model_aliases::version.eq(row.version),
            );
            each!(conn, c => diesel::insert_into(registered_model_aliases::table)
                .values(new)
                .on_conflict((
                    registered_model_aliases::workspace,
                    registered_model_aliases::name,
                    registered_model_aliases::alias,
                ))
                .do_update()
                .set(registered_model_aliases::version.eq(row.version))
                .execute(c))?;
            let (alias, version) = (alias.to_string(), version.to_string());
            Ok(((), Change::new(&key.name, What::AliasSet { alias, version })))
        })
        .await
    }

    /// Removes an alias; that there is none is no error. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown model.
    pub async fn delete_registered_model_alias(&self, name: ModelName, alias: ModelAlias) -> Result<()> {
        validate_name(&name)?;
        validate_alias(&alias)?;
        self.write_announced(move |conn| {
            lock_model(conn, &name)?;
            let row =
                registered_model_aliases::table.find((DEFAULT_WORKSPACE, name.as_str(), alias.as_str()));
            each!(conn, c => diesel::delete(row).execute(c))?;
            Ok(((), Change::new(&name, What::AliasDeleted { alias: alias.to_string() })))
        })
        .await
    }
}

/// A row of `registered_models`, as far as it is shown.
#[derive(Queryable, Selectable, Debug)]
#[diesel(table_name = registered_models)]
struct ModelRow {
    name: String,
    creation_time: Option<i64>,
    last_updated_time: Option<i64>,
    description: Option<String>,
}

/// What belongs to one registered model.
#[derive(Debug, Default)]
struct OfModel {
    tags: Vec<RegisteredModelTag>,
    aliases: Vec<RegisteredModelAlias>,
}

fn not_found(name: &str) -> Error {
    Error::not_found(format!("Registered Model with name={name} not found"))
}

fn get_row(conn: &mut Conn, name: &str) -> Result<ModelRow> {
    validate_name(name)?;
    let row = each!(conn, c => registered_models::table
        .find((DEFAULT_WORKSPACE, name))
        .select(ModelRow::as_select())
        .first(c)
        .optional())?;
    row.ok_or_else(|| not_found(name))
}

/// Takes the lock of a model's row up to the end of the transaction, and returns the row if there is one. SQLite has
/// one writer anyway.
fn find_locked(conn: &mut Conn, name: &str) -> Result<Option<ModelRow>> {
    const PG: &str = "SELECT name, creation_time, last_updated_time, description FROM registered_models \
                      WHERE workspace = ? AND name = ? FOR NO KEY UPDATE";
    const SQLITE: &str = "SELECT name, creation_time, last_updated_time, description FROM registered_models \
                          WHERE workspace = ? AND name = ?";
    let text = conn.dialect().pick(PG, SQLITE);
    let binds = [Bind::Text(DEFAULT_WORKSPACE), Bind::Text(name)];
    let select = statement::<(Text, Nullable<BigInt>, Nullable<BigInt>, Nullable<Text>)>(text, &binds);
    let rows: Vec<ModelRow> = each!(conn, c => select.load(c))?;
    Ok(rows.into_iter().next())
}

/// Takes the lock of a model's row up to the end of the transaction, and returns the row.
fn lock_model(conn: &mut Conn, name: &str) -> Result<ModelRow> {
    validate_name(name)?;
    find_locked(conn, name)?.ok_or_else(|| not_found(name))
}

/// Marks a model as changed at `now`.
fn touch(conn: &mut Conn, name: &str, now: i64) -> Result<()> {
    let model = registered_models::table.find((DEFAULT_WORKSPACE, name));
    each!(conn, c => diesel::update(model).set(registered_models::last_updated_time.eq(now)).execute(c))?;
    Ok(())
}

fn create_in(conn: &mut Conn, new: &NewRegisteredModel) -> Result<RegisteredModel> {
    let now = now_ms();
    let row = (
        registered_models::workspace.eq(DEFAULT_WORKSPACE),
        registered_models::name.eq(&new.name),
        registered_models::creation_time.eq(now),
        registered_models::last_updated_time.eq(now),
        registered_models::description.eq(&new.description),
    );
    let added = each!(conn, c => diesel::insert_into(registered_models::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?;
    if added == 0 {
        return Err(name_taken(&new.name, &new.tags, &tags_of(conn, &new.name)?));
    }
    upsert_tags(conn, &new.name, &new.tags)?;
    let row = get_row(conn, &new.name)?;
    single(conn, row)
}

fn rename_in(conn: &mut Conn, name: &str, new_name: &str) -> Result<RegisteredModel> {
    let mut row = lock_model(conn, name)?;
    let now = now_ms();
    // The keys of everything below follow in the database.
    each!(conn, c => diesel::update(registered_models::table.find((DEFAULT_WORKSPACE, name)))
        .set((registered_models::name.eq(new_name), registered_models::last_updated_time.eq(now)))
        .execute(c))
    .map_err(|e| {
        if is_unique_violation(&e) {
            let message = format!("Registered Model (name={new_name}) already exists.");
            return Error::already_exists(message).with_source(e);
        }
        e.into()
    })?;
    each!(conn, c => diesel::update(model_versions::table)
        .filter(model_versions::workspace.eq(DEFAULT_WORKSPACE))
        .filter(model_versions::name.eq(new_name))
        .set(model_versions::last_updated_time.eq(now))
        .execute(c))?;
    new_name.clone_into(&mut row.name);
    row.last_updated_time = Some(now);
    single(conn, row)
}

fn delete_in(conn: &mut Conn, name: &str) -> Result<()> {
    lock_model(conn, name)?;
    macro_rules! delete_from {
        ($($table:ident)+) => {
            $(each!(conn, c => diesel::delete($table::table)
                .filter($table::workspace.eq(DEFAULT_WORKSPACE))
                .filter($table::name.eq(name))
                .execute(c))?;)+
        };
    }
    delete_from!(model_version_tags model_versions registered_model_tags registered_model_aliases registered_models);
    Ok(())
}

fn upsert_tags(conn: &mut Conn, name: &str, tags: &[Tag]) -> Result<()> {
    use registered_model_tags::{key, name as model, table, value, workspace};
    for chunk in tags.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<_> = chunk
            .iter()
            .map(|tag| {
                (workspace.eq(DEFAULT_WORKSPACE), model.eq(name), key.eq(&tag.key), value.eq(&tag.value))
            })
            .collect();
        each!(conn, c => diesel::insert_into(table)
            .values(&rows)
            .on_conflict((workspace, key, model))
            .do_update()
            .set(value.eq(excluded(value)))
            .execute(c))?;
    }
    Ok(())
}

/// Returns the tags of a model.
pub(super) fn tags_of(conn: &mut Conn, name: &str) -> Result<Vec<Tag>> {
    let rows: Vec<(String, Option<String>)> = each!(conn, c => registered_model_tags::table
        .filter(registered_model_tags::workspace.eq(DEFAULT_WORKSPACE))
        .filter(registered_model_tags::name.eq(name))
        .select((registered_model_tags::key, registered_model_tags::value))
        .load(c))?;
    Ok(rows.into_iter().map(|(key, value)| Tag { key, value: value.unwrap_or_default() }).collect())
}

/// Returns the aliases of a model with the versions they name, sorted.
fn aliases_of(conn: &mut Conn, name: &str) -> Result<Vec<(String, i32)>> {
    Ok(each!(conn, c => registered_model_aliases::table
        .filter(registered_model_aliases::workspace.eq(DEFAULT_WORKSPACE))
        .filter(registered_model_aliases::name.eq(name))
        .select((registered_model_aliases::alias, registered_model_aliases::version))
        .order(registered_model_aliases::alias)
        .load(c))?)
}

fn single(conn: &mut Conn, row: ModelRow) -> Result<RegisteredModel> {
    Ok(assemble(conn, vec![row])?.pop().unwrap_or_default())
}

/// The tags and aliases of the models of a list, the latter with their versions, each with the model's place in the list
/// counted from 0. Indexes: `ferroflow_registered_model_tags`, by which SQLite has the tags in the order in which they
/// were set, and the primary key of aliases, by which it has these sorted; PostgreSQL sorts both.
const PG_TAGS_AND_ALIASES: &str = "SELECT p.place - 1, t.key, t.value, t.version \
    FROM unnest((SELECT ?)) WITH ORDINALITY p(name, place) CROSS JOIN LATERAL (\
    SELECT key, value, CAST(NULL AS INTEGER) AS version FROM registered_model_tags \
    WHERE workspace = 'default' AND name BETWEEN p.name AND p.name \
    UNION ALL SELECT alias, NULL, version FROM registered_model_aliases \
    WHERE workspace = 'default' AND name BETWEEN p.name AND p.name OFFSET 0) t ORDER BY p.place, t.key";
const SQLITE_TAGS_AND_ALIASES: &str = "SELECT p.key, t.key, t.value, NULL \
    FROM json_each(?) p CROSS JOIN registered_model_tags t ON t.workspace = 'default' AND t.name = p.value \
    UNION ALL SELECT p.key, a.alias, NULL, a.version \
    FROM json_each(?) p CROSS JOIN registered_model_aliases a ON a.workspace = 'default' AND a.name = p.value";

/// Adds to a page of rows what belongs to them, keeping the order, by three statements: however many versions there
/// are, only the newest of each stage are read.
fn assemble(conn: &mut Conn, page: Vec<ModelRow>) -> Result<Vec<RegisteredModel>> {
    if page.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = page.iter().map(|row| row.name.as_str()).collect();
    let loaded = load_tags_and_aliases(conn, &names)?;
    let latest = latest_versions(conn, &names)?;
    let mut versions: HashMap<String, Vec<_>> = HashMap::with_capacity(names.len());
    for version in version_messages(conn, latest)? {
        versions.entry(version.name().to_owned()).or_default().push(version);
    }
    let message = |(row, of_model): (ModelRow, OfModel)| RegisteredModel {
        latest_versions: versions.remove(&row.name).unwrap_or_default(),
        name: Some(row.name),
        creation_timestamp: row.creation_time,
        last_updated_timestamp: row.last_updated_time.filter(|time| *time != 0),
        user_id: None,
        description: row.description.filter(|text| !text.is_empty()),
        tags: of_model.tags,
        aliases: of_model.aliases,
    };
    Ok(page.into_iter().zip(loaded).map(message).collect())
}

/// Returns what each of the models has, in their order.
fn load_tags_and_aliases(conn: &mut Conn, names: &[&str]) -> Result<Vec<OfModel>> {
    type Row = (BigInt, Text, Nullable<Text>, Nullable<Integer>);
    let rows: Vec<(i64, String, Option<String>, Option<i32>)> = match conn {
        Conn::Pg(c) => statement::<Row>(PG_TAGS_AND_ALIASES, &[Bind::Texts(names)]).load(c)?,
        Conn::Sqlite(c) => {
            let list = json_list(names);
            statement::<Row>(SQLITE_TAGS_AND_ALIASES, &[Bind::Text(&list); 2]).load(c)?
        }
    };
    let mut loaded: Vec<OfModel> = names.iter().map(|_| OfModel::default()).collect();
    for (place, key, value, version) in rows {
        let Some(of_model) = usize::try_from(place).ok().and_then(|place| loaded.get_mut(place)) else {
            continue;
        };
        let key = Some(key);
        match version {
            Some(version) => {
                let version = Some(version.to_string());
                of_model.aliases.push(RegisteredModelAlias { alias: key, version });
            }
            None => of_model.tags.push(RegisteredModelTag { key, value }),
        }
    }
    Ok(loaded)
}
