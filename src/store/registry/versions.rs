//! Versions of registered models: their life, stages and tags, and how rows become [`ModelVersion`] messages.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use serde_json::{Value, json};

use super::{ModelRow, aliases_of, find_locked, get_row, touch};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::ids::{ModelAlias, ModelName, Tag};
use crate::domain::registry::{
    Stage, VersionKey, is_latest, validate_alias, validate_name, validate_tag_key, validate_version_tag,
};
use crate::domain::time::now_ms;
use crate::domain::webhook::change::{Change, What};
use crate::domain::{Error, Result};
use crate::proto::{ModelVersion, ModelVersionStatus, ModelVersionTag};
use crate::store::conn::Conn;
use crate::store::schema::{model_version_tags, model_versions, registered_model_aliases};
use crate::store::statement::{Bind, json_list, statement};
use crate::store::{Store, each};

/// The stage of a version that was deleted: it stays, so that its number is not given again.
pub(super) const DELETED_STAGE: &str = "Deleted_Internal";

impl Store {
    /// Returns a version with its tags and aliases.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`, also for one that was deleted.
    pub async fn get_model_version(&self, key: VersionKey) -> Result<ModelVersion> {
        self.read(move |conn| {
            let row = get_version(conn, &key)?;
            with_aliases(conn, row)
        })
        .await
    }

    /// Returns the version that an alias names; `latest` is always the newest.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown model, `INVALID_PARAMETER_VALUE` for an unknown alias. Upstream:
    /// `SqlAlchemyStore.get_model_version_by_alias`.
    pub async fn get_model_version_by_alias(
        &self,
        name: ModelName,
        alias: ModelAlias,
    ) -> Result<ModelVersion> {
        validate_name(&name)?;
        validate_alias(&alias)?;
        self.read(move |conn| {
            let row = version_by_alias(conn, &name, &alias)?;
            with_aliases(conn, row)
        })
        .await
    }

    /// Returns the newest version of each of `stages`, of all stages if there are none.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown model, `INVALID_PARAMETER_VALUE` for an unknown stage. Upstream:
    /// `SqlAlchemyStore.get_latest_versions`.
    pub async fn get_latest_versions(
        &self,
        name: ModelName,
        stages: Vec<String>,
    ) -> Result<Vec<ModelVersion>> {
        self.read(move |conn| {
            get_row(conn, &name)?;
            let stages = stages.iter().map(|stage| Stage::parse(stage)).collect::<Result<Vec<_>>>()?;
            let mut rows = latest_versions(conn, &[&name])?;
            rows.retain(|row| stages.is_empty() || stages.iter().any(|stage| row.stage() == stage.name()));
            let aliases = aliases_of(conn, &name)?;
            let numbers: Vec<i32> = rows.iter().map(|row| row.version).collect();
            let mut versions = version_messages(conn, rows)?;
            for (version, number) in versions.iter_mut().zip(numbers) {
                version.aliases = aliases_for(&aliases, number);
            }
            Ok(versions)
        })
        .await
    }

    /// Returns where the files of a version are.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_model_version_download_uri(&self, key: VersionKey) -> Result<Option<String>> {
        self.read(move |conn| Ok(get_version(conn, &key)?.download_uri())).await
    }

    /// Describes a version, or takes its description away. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn update_model_version(
        &self,
        key: VersionKey,
        description: Option<String>,
    ) -> Result<ModelVersion> {
        self.write(move |conn| {
            let (_, mut row) = lock_version(conn, &key)?;
            row.description.clone_from(&description);
            row.last_updated_time = Some(now_ms());
            let new = (
                model_versions::description.eq(&row.description),
                model_versions::last_updated_time.eq(row.last_updated_time),
            );
            each!(conn, c => diesel::update(one(&row)).set(new).execute(c))?;
            with_aliases(conn, row)
        })
        .await
    }

    /// Moves a version to the stage that the client wrote; with `archive_existing`, those that are there go to the
    /// archive. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for an unknown stage; `INTERNAL_ERROR`, as in stock, for
    /// archiving in a stage that is not active. Upstream: `SqlAlchemyStore.transition_model_version_stage`.
    pub async fn transition_model_version_stage(
        &self,
        key: VersionKey,
        stage: Stage,
        archive_existing: bool,
    ) -> Result<ModelVersion> {
        self.write(move |conn| {
            let (_, mut row) = lock_version(conn, &key)?;
            let now = now_ms();
            if archive_existing {
                each!(conn, c => diesel::update(model_versions::table)
                    .filter(model_versions::workspace.eq(DEFAULT_WORKSPACE))
                    .filter(model_versions::name.eq(&row.name))
                    .filter(model_versions::version.ne(row.version))
                    .filter(model_versions::current_stage.eq(stage.name()))
                    .set((
                        model_versions::current_stage.eq(Stage::Archived.name()),
                        model_versions::last_updated_time.eq(now),
                    ))
                    .execute(c))?;
            }
            row.current_stage = Some(stage.name().to_owned());
            row.last_updated_time = Some(now);
            let new = (
                model_versions::current_stage.eq(&row.current_stage),
                model_versions::last_updated_time.eq(now),
            );
            each!(conn, c => diesel::update(one(&row)).set(new).execute(c))?;
            touch(conn, &row.name, now)?;
            with_aliases(conn, row)
        })
        .await
    }

    /// Deletes a version: it loses its aliases and what it told, and is found no more; its number stays taken. One
    /// transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `SqlAlchemyStore.delete_model_version`, which keeps its tags, too.
    pub async fn delete_model_version(&self, key: VersionKey) -> Result<()> {
        self.write(move |conn| delete_in(conn, &key)).await
    }

    /// Writes a tag of a version over an earlier value. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for a bad key or value.
    pub async fn set_model_version_tag(&self, key: VersionKey, tag: Tag) -> Result<()> {
        validate_version_tag(&tag.key, &tag.value)?;
        self.write_announced(move |conn| {
            let (_, row) = lock_version(conn, &key)?;
            upsert_tags(conn, &row.name, row.version, std::slice::from_ref(&tag))?;
            let Tag { key, value } = tag.clone();
            let what = What::VersionTagSet { version: row.version.to_string(), key, value };
            Ok(((), Change::new(&row.name, what)))
        })
        .await
    }

    /// Removes a tag of a version; that there is none is no error. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown version.
    pub async fn delete_model_version_tag(&self, key: VersionKey, tag_key: String) -> Result<()> {
        validate_tag_key(&tag_key)?;
        self.write_announced(move |conn| {
            let (_, row) = lock_version(conn, &key)?;
            let tag = model_version_tags::table.find((DEFAULT_WORKSPACE, &tag_key, &row.name, row.version));
            each!(conn, c => diesel::delete(tag).execute(c))?;
            let what = What::VersionTagDeleted { version: row.version.to_string(), key: tag_key.clone() };
            Ok(((), Change::new(&row.name, what)))
        })
        .await
    }
}

/// A row of `model_versions`. The order of the fields is that of [`COLUMNS_OF`].
#[derive(Queryable, Selectable, Insertable, Debug)]
#[diesel(table_name = model_versions, treat_none_as_default_value = false)]
pub(super) struct VersionRow {
    pub(super) name: String,
    pub(super) version: i32,
    pub(super) creation_time: Option<i64>,
    pub(super) last_updated_time: Option<i64>,
    pub(super) description: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) current_stage: Option<String>,
    pub(super) source: Option<String>,
    pub(super) run_id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) status_message: Option<String>,
    pub(super) run_link: Option<String>,
    pub(super) storage_location: Option<String>,
}

macro_rules! version_rows {
    ($of:literal) => {
        concat!(
            "SELECT v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, \
             v.current_stage, v.source, v.run_id, v.status, v.status_message, v.run_link, v.storage_location FROM ",
            $of
        )
    };
}

/// The columns of a [`VersionRow`] in statements whose table of versions is called `v`.
pub(super) const COLUMNS_OF: &str = version_rows!("");

/// The newest version of each stage of each model of a list. Neither database may choose: LATERAL and CROSS JOIN keep
/// them from reading every version there is.
const PG_LATEST: &str = version_rows!(
    "unnest((SELECT ?)) p(name) CROSS JOIN LATERAL (SELECT DISTINCT ON (current_stage) * FROM model_versions \
     WHERE workspace = 'default' AND name = p.name AND current_stage != 'Deleted_Internal' \
     ORDER BY current_stage, version DESC) v ORDER BY v.name, v.version"
);
const SQLITE_LATEST: &str = version_rows!(
    "(SELECT name, MAX(version) AS version FROM model_versions WHERE workspace = 'default' \
     AND current_stage != 'Deleted_Internal' AND name IN (SELECT value FROM json_each(?)) \
     GROUP BY name, current_stage) l CROSS JOIN model_versions v WHERE v.workspace = 'default' \
     AND v.name = l.name AND v.version = l.version ORDER BY v.name, v.version"
);

/// The tags of exactly these versions, others of the same models may have many, each with the version's place in the
/// list counted from 0. Index: `ferroflow_model_version_tags`, by which SQLite has the tags of a version in the order in
/// which they were set; PostgreSQL sorts them.
const PG_TAGS: &str = concat!(
    "SELECT p.place - 1, t.key, t.value \
     FROM unnest((SELECT ?), (SELECT ?)) WITH ORDINALITY p(name, version, place) CROSS JOIN LATERAL (SELECT key, value \
     FROM model_version_tags WHERE workspace = 'default' AND ",
    same_pair!("name", "version", "p.name", "p.version"),
    " OFFSET 0) t ORDER BY p.place, t.key"
);
const SQLITE_TAGS: &str = "SELECT p.key, t.key, t.value FROM json_each(?) p CROSS JOIN model_version_tags t \
    ON t.workspace = 'default' AND t.name = p.value ->> 0 AND t.version = p.value ->> 1";

/// The SQL type of a [`VersionRow`].
pub(super) type VersionColumns = (
    Text,
    Integer,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
);

impl VersionRow {
    fn stage(&self) -> &str {
        self.current_stage.as_deref().unwrap_or_default()
    }

    /// Returns where the files are.
    pub(super) fn download_uri(&self) -> Option<String> {
        let location = self.storage_location.as_ref().filter(|location| !location.is_empty());
        location.or(self.source.as_ref()).cloned()
    }

    fn into_message(self, tags: Vec<ModelVersionTag>) -> ModelVersion {
        ModelVersion {
            name: Some(self.name),
            version: Some(self.version.to_string()),
            creation_timestamp: self.creation_time,
            last_updated_timestamp: self.last_updated_time,
            user_id: self.user_id,
            current_stage: self.current_stage,
            description: self.description,
            source: self.source,
            run_id: self.run_id,
            status: self.status.and_then(|s| ModelVersionStatus::from_str_name(&s)).map(i32::from),
            status_message: self.status_message.filter(|text| !text.is_empty()),
            tags,
            run_link: self.run_link,
            aliases: Vec::new(),
        }
    }
}

/// The row of a version, by its key.
type OneVersion<'a> = diesel::dsl::Find<model_versions::table, (&'a str, &'a str, i32)>;

fn one(row: &VersionRow) -> OneVersion<'_> {
    model_versions::table.find((DEFAULT_WORKSPACE, row.name.as_str(), row.version))
}

/// Returns a version that is not deleted.
pub(super) fn get_version(conn: &mut Conn, key: &VersionKey) -> Result<VersionRow> {
    let Some(number) = key.number() else { return Err(key.not_found()) };
    let row = each!(conn, c => model_versions::table
        .find((DEFAULT_WORKSPACE, key.name.as_str(), number))
        .filter(model_versions::current_stage.ne(DELETED_STAGE))
        .select(VersionRow::as_select())
        .first(c)
        .optional())?;
    row.ok_or_else(|| key.not_found())
}

/// Takes the lock of the model of a version, and returns the rows of both.
pub(super) fn lock_version(conn: &mut Conn, key: &VersionKey) -> Result<(ModelRow, VersionRow)> {
    let model = find_locked(conn, &key.name)?.ok_or_else(|| key.not_found())?;
    Ok((model, get_version(conn, key)?))
}

/// Returns the version that an alias names.
pub(super) fn version_by_alias(conn: &mut Conn, name: &ModelName, alias: &ModelAlias) -> Result<VersionRow> {
    get_row(conn, name)?;
    if is_latest(alias) {
        let newest = latest_versions(conn, &[name])?.into_iter().max_by_key(|row| row.version);
        return newest.ok_or_else(|| Error::not_found(format!("Latest version not found for model {name}.")));
    }
    let found: Option<i32> = each!(conn, c => registered_model_aliases::table
        .find((DEFAULT_WORKSPACE, name.as_str(), alias.as_str()))
        .select(registered_model_aliases::version)
        .first(c)
        .optional())?;
    let version =
        found.ok_or_else(|| Error::invalid(format!("Registered model alias {alias} not found.")))?;
    get_version(conn, &VersionKey { name: name.clone(), version: version.into() })
}

/// Returns the newest version of each stage of each model, by name and number. One statement.
pub(super) fn latest_versions(conn: &mut Conn, names: &[&str]) -> Result<Vec<VersionRow>> {
    Ok(match conn {
        Conn::Pg(c) => statement::<VersionColumns>(PG_LATEST, &[Bind::Texts(names)]).load(c)?,
        Conn::Sqlite(c) => {
            statement::<VersionColumns>(SQLITE_LATEST, &[Bind::Text(&json_list(names))]).load(c)?
        }
    })
}

/// Adds the tags to a page of versions, keeping its order, by one statement.
pub(super) fn version_messages(conn: &mut Conn, page: Vec<VersionRow>) -> Result<Vec<ModelVersion>> {
    let mut tags = load_tags(conn, &page)?.into_iter().peekable();
    let message = |(place, row): (usize, VersionRow)| {
        let mut of_version = Vec::new();
        while let Some((_, key, value)) = tags.next_if(|tag| usize::try_from(tag.0) == Ok(place)) {
            of_version.push(ModelVersionTag { key: Some(key), value });
        }
        row.into_message(of_version)
    };
    Ok(page.into_iter().enumerate().map(message).collect())
}

fn load_tags(conn: &mut Conn, page: &[VersionRow]) -> QueryResult<Vec<(i64, String, Option<String>)>> {
    type Row = (BigInt, Text, Nullable<Text>);
    match conn {
        _ if page.is_empty() => Ok(Vec::new()),
        Conn::Pg(c) => {
            let names: Vec<&str> = page.iter().map(|row| row.name.as_str()).collect();
            let versions: Vec<i64> = page.iter().map(|row| row.version.into()).collect();
            statement::<Row>(PG_TAGS, &[Bind::Texts(&names), Bind::BigInts(&versions)]).load(c)
        }
        Conn::Sqlite(c) => {
            let list: Value = page.iter().map(|row| json!([row.name, row.version])).collect();
            statement::<Row>(SQLITE_TAGS, &[Bind::Text(&list.to_string())]).load(c)
        }
    }
}

/// Makes the message of a single version, which has aliases, too.
pub(super) fn with_aliases(conn: &mut Conn, row: VersionRow) -> Result<ModelVersion> {
    let aliases = aliases_for(&aliases_of(conn, &row.name)?, row.version);
    let mut version = version_messages(conn, vec![row])?.pop().unwrap_or_default();
    version.aliases = aliases;
    Ok(version)
}

fn aliases_for(aliases: &[(String, i32)], version: i32) -> Vec<String> {
    aliases.iter().filter(|(_, named)| *named == version).map(|(alias, _)| alias.clone()).collect()
}

fn delete_in(conn: &mut Conn, key: &VersionKey) -> Result<()> {
    let (_, row) = lock_version(conn, key)?;
    let now = now_ms();
    touch(conn, &row.name, now)?;
    each!(conn, c => diesel::delete(registered_model_aliases::table)
        .filter(registered_model_aliases::workspace.eq(DEFAULT_WORKSPACE))
        .filter(registered_model_aliases::name.eq(&row.name))
        .filter(registered_model_aliases::version.eq(row.version))
        .execute(c))?;
    let redacted = (
        model_versions::current_stage.eq(DELETED_STAGE),
        model_versions::last_updated_time.eq(now),
        model_versions::description.eq(None::<&str>),
        model_versions::user_id.eq(None::<&str>),
        model_versions::source.eq("REDACTED-SOURCE-PATH"),
        model_versions::run_id.eq("REDACTED-RUN-ID"),
        model_versions::run_link.eq("REDACTED-RUN-LINK"),
        model_versions::status_message.eq(None::<&str>),
    );
    each!(conn, c => diesel::update(one(&row)).set(redacted).execute(c))?;
    Ok(())
}

/// Writes tags of a version over earlier values.
pub(super) fn upsert_tags(conn: &mut Conn, name: &str, number: i32, tags: &[Tag]) -> Result<()> {
    use diesel::upsert::excluded;
    use model_version_tags::{key, name as model, table, value, version, workspace};
    for chunk in tags.chunks(super::ROWS_PER_STATEMENT) {
        let rows: Vec<_> = chunk
            .iter()
            .map(|tag| {
                let Tag { key: k, value: v } = tag;
                (workspace.eq(DEFAULT_WORKSPACE), model.eq(name), version.eq(number), key.eq(k), value.eq(v))
            })
            .collect();
        each!(conn, c => diesel::insert_into(table)
            .values(&rows)
            .on_conflict((workspace, key, model, version))
            .do_update()
            .set(value.eq(excluded(value)))
            .execute(c))?;
    }
    Ok(())
}
