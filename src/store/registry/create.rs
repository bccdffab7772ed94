//! New model versions: what their source is a part of, where their files are, and which number they get.

use diesel::dsl::max;
use diesel::prelude::*;

use super::versions::{
    VersionRow, get_version, latest_versions, upsert_tags, version_by_alias, with_aliases,
};
use super::{get_row, lock_model, tags_of, touch};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::ids::{LoggedModelId, ModelAlias, ModelName};
use crate::domain::model_source::{
    self, Check, LocalSource, ModelUri, Owner, OwnerKind, Which, inherit, is_within, not_contained,
    prompt_as_source, registered_source,
};
use crate::domain::registry::{NewModelVersion, Stage, VersionKey, is_prompt};
use crate::domain::time::now_ms;
use crate::domain::webhook::change::{Change, What};
use crate::domain::{Error, ErrorCode, Result, artifact_uri};
use crate::proto::{ModelVersion, ModelVersionStatus};
use crate::store::conn::Conn;
use crate::store::logged_models::{add_version_to_model, location_of};
use crate::store::runs::get_row as get_run;
use crate::store::schema::model_versions;
use crate::store::{Store, each};

impl Store {
    /// Checks that the source of a new version is a part of what the request names, and completes the request by what a
    /// version that is the source tells. A path of the server's disk is returned: it is still to be looked at.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`; `RESOURCE_DOES_NOT_EXIST` for an unknown version as the source. Upstream:
    /// `_create_model_version`.
    pub async fn resolve_model_source(
        &self,
        new: NewModelVersion,
    ) -> Result<(NewModelVersion, Option<LocalSource>)> {
        self.read(move |conn| resolve_in(conn, new.clone())).await
    }

    /// Stores a version under the next number of its model. Logged models that it comes from learn of it. One
    /// transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown registered or logged model. Upstream:
    /// `SqlAlchemyStore.create_model_version` and `set_model_versions_tags`, which are two transactions.
    pub async fn create_model_version(&self, new: NewModelVersion) -> Result<ModelVersion> {
        self.write_announced(move |conn| {
            let made = create_in(conn, &new)?;
            let what = What::VersionCreated {
                version: made.version().to_owned(),
                source: new.source.clone(),
                run_id: new.run_id.clone(),
                tags: new.tags.clone(),
                description: Some(new.description.clone()),
            };
            Ok((made, Change::new(&new.name, what)))
        })
        .await
    }

    /// Returns the folder of a version's files as a URI that a store can be reached by.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` also for an unknown run that the version's source names.
    pub async fn get_model_version_folder(&self, key: VersionKey) -> Result<VersionFolder> {
        self.read(move |conn| {
            let version = get_version(conn, &key)?;
            folder_of(conn, &version)
        })
        .await
    }
}

/// Where the files of a version are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFolder {
    /// The folder.
    pub uri: String,
    /// The artifacts of the run that the folder is a part of, where that is known.
    pub run_uri: Option<String>,
}

fn folder_of(conn: &mut Conn, version: &VersionRow) -> Result<VersionFolder> {
    let uri = version.download_uri().unwrap_or_default();
    if let Some((run_id, path)) = model_source::run_source(&uri) {
        let root = get_run(conn, &run_id)?.artifact_uri.unwrap_or_default();
        return Ok(VersionFolder { uri: artifact_uri::append(&root, &path)?, run_uri: Some(root) });
    }
    let run = version.run_id.as_deref().map(|id| get_run(conn, id));
    let root = match run.transpose() {
        Err(e) if e.code != ErrorCode::ResourceDoesNotExist => return Err(e),
        found => found.ok().flatten().and_then(|run| run.artifact_uri),
    };
    Ok(VersionFolder { run_uri: root.filter(|root| is_within(&uri, root)), uri })
}

fn resolve_in(conn: &mut Conn, mut new: NewModelVersion) -> Result<(NewModelVersion, Option<LocalSource>)> {
    if new.is_prompt {
        return Ok((new, None));
    }
    if let Some((name, which)) = registered_source(&new.source)? {
        get_row(conn, &name)?;
        if is_prompt(&tags_of(conn, &name)?) {
            return Err(prompt_as_source(&new.source));
        }
        let row = version_of(conn, &name, &which)?;
        inherit(&mut new, &name, row.version, row.run_id)?;
    }
    let local = match model_source::check(&new)? {
        Check::Done => None,
        Check::LocalPath(path, owner) => {
            let root = root_of(conn, &owner, &new.source)?;
            Some(LocalSource { path, root: artifact_uri::local_path(&root)?, kind: owner.kind })
        }
        Check::Uri(owner) => {
            let root = root_of(conn, &owner, &new.source)?;
            if !is_within(&new.source, &root) {
                return Err(not_contained(&new.source, owner.kind));
            }
            None
        }
    };
    Ok((new, local))
}

/// Returns where the artifacts of a run or a logged model are.
fn root_of(conn: &mut Conn, owner: &Owner, source: &str) -> Result<String> {
    let root = match owner.kind {
        OwnerKind::Run => get_run(conn, &owner.id).map(|run| run.artifact_uri.unwrap_or_default()),
        OwnerKind::Model => location_of(conn, &owner.id).map(|model| model.location),
    };
    root.map_err(|e| {
        if e.code == ErrorCode::ResourceDoesNotExist { not_contained(source, owner.kind) } else { e }
    })
}

/// Upstream: `get_model_name_and_version`.
fn version_of(conn: &mut Conn, name: &str, which: &Which) -> Result<VersionRow> {
    match which {
        Which::Number(number) => get_version(conn, &VersionKey::parse(Some(name.to_owned()), number)?),
        Which::Alias(alias) => {
            crate::domain::registry::validate_alias(alias)?;
            version_by_alias(conn, &ModelName::from(name), &ModelAlias::from(alias.as_str()))
        }
        Which::Latest => newest(conn, name, None),
        Which::Stage(stage) => newest(conn, name, Some(stage)),
    }
}

/// Upstream: `_get_latest_model_version`, whose error is a 500.
fn newest(conn: &mut Conn, name: &str, stage: Option<&str>) -> Result<VersionRow> {
    let wanted = stage.map(Stage::parse).transpose()?;
    let rows = latest_versions(conn, &[name])?.into_iter();
    let is_wanted =
        |row: &VersionRow| wanted.is_none_or(|stage| row.current_stage.as_deref() == Some(stage.name()));
    rows.filter(is_wanted).max_by_key(|row| row.version).ok_or_else(|| {
        let stage = stage.map_or_else(String::new, |stage| format!(" and stage '{stage}'"));
        let message = format!("No versions of model with name '{name}'{stage} found");
        Error::new(ErrorCode::InternalError, message)
    })
}

/// Returns where the files of a new version are, and the run that they come from.
fn storage_of(conn: &mut Conn, new: &NewModelVersion) -> Result<(String, Option<String>)> {
    let mut run_id = new.run_id.clone();
    let is_known = |run_id: &Option<String>| run_id.as_ref().is_some_and(|id| !id.is_empty());
    let mut location = new.source.clone();
    if model_source::is_model_uri(&new.source) {
        match fetch(conn, &new.source) {
            Ok((found, run)) => {
                location = found;
                if !is_known(&run_id) {
                    run_id = run.or(run_id);
                }
            }
            Err(e) => {
                let message = format!(
                    "Unable to fetch model from model URI source artifact location '{}'.Error: {}",
                    new.source, e.message
                );
                return Err(Error::new(ErrorCode::InternalError, message).with_source(e));
            }
        }
    }
    if let Some(id) = new.logged_model().filter(|_| !is_known(&run_id)) {
        run_id = location_of(conn, id)?.source_run_id;
    }
    // Without a run, stock keeps an empty text unless a version was the source.
    let is_copy = registered_source(&new.source).is_ok_and(|named| named.is_some());
    Ok((location, if is_copy { run_id } else { Some(run_id.unwrap_or_default()) }))
}

/// Returns the location that a `models:/` URI names, and the run if it is that of a logged model.
fn fetch(conn: &mut Conn, source: &str) -> Result<(String, Option<String>)> {
    match ModelUri::parse(source) {
        Some(ModelUri::LoggedModel(id)) => {
            let model = location_of(conn, &id)?;
            Ok((model.location, model.source_run_id))
        }
        Some(ModelUri::Registered { name, which }) => {
            Ok((version_of(conn, &name, &which)?.download_uri().unwrap_or_default(), None))
        }
        None => Err(not_contained(source, OwnerKind::Model)),
    }
}

fn create_in(conn: &mut Conn, new: &NewModelVersion) -> Result<ModelVersion> {
    let (storage_location, run_id) = storage_of(conn, new)?;
    lock_model(conn, &new.name)?;
    let now = now_ms();
    touch(conn, &new.name, now)?;
    // The numbers of deleted versions count, too.
    let newest: Option<i32> = each!(conn, c => model_versions::table
        .filter(model_versions::workspace.eq(DEFAULT_WORKSPACE))
        .filter(model_versions::name.eq(&new.name))
        .select(max(model_versions::version))
        .first(c))?;
    let version = newest.unwrap_or(0) + 1;
    let row = VersionRow {
        name: new.name.clone(),
        version,
        creation_time: Some(now),
        last_updated_time: Some(now),
        description: Some(new.description.clone()),
        user_id: None,
        current_stage: Some(Stage::None.name().to_owned()),
        source: Some(new.source.clone()),
        run_id,
        status: Some(ModelVersionStatus::Ready.as_str_name().to_owned()),
        status_message: None,
        run_link: Some(new.run_link.clone()),
        storage_location: Some(storage_location),
    };
    each!(conn, c => diesel::insert_into(model_versions::table)
        .values((model_versions::workspace.eq(DEFAULT_WORKSPACE), &row))
        .execute(c))?;
    upsert_tags(conn, &new.name, version, &new.tags)?;
    if let Some(model_id) = new.logged_model().filter(|_| !new.is_prompt) {
        let (model_id, name) = (LoggedModelId::from(model_id), ModelName::from(new.name.as_str()));
        add_version_to_model(conn, &model_id, &name, version)?;
    }
    with_aliases(conn, row)
}
