//! Scorers with their versions, and when they run by themselves. A scorer that asks an endpoint of the gateway is stored
//! with the id of the endpoint and shown with its name.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use uuid::Uuid;

use super::conn::Conn;
use super::experiments::{get_experiment_in, require_active};
use super::predicate::Search;
use super::schema::{online_scoring_configs, scorer_versions, scorers};
use super::statement::{Bind, statement};
use super::{Store, each};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::ids::ExperimentId;
use crate::domain::scorer::{NewScorer, OnlineScoring, endpoint_of, set_endpoint};
use crate::domain::time::now_ms;
use crate::domain::{Error, Result};
use crate::proto::loose::Json;
use crate::proto::{OnlineScoringConfig, Scorer, register_scorer};
use crate::search::Membership;

/// What a binding of an endpoint belongs to.
const SCORER: &str = "scorer";
/// Ids that one statement is restricted to: SQLite takes no more than 32,766 binds.
const IDS_PER_STATEMENT: usize = 30_000;

/// Whose scorers are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScorersOf {
    /// Those of one experiment, which must be active.
    Experiment(ExperimentId),
    /// Those of the active ones among these experiments.
    Experiments(Vec<i32>),
    /// Those of every active experiment.
    Everybody,
}

impl Store {
    /// Stores a scorer under the next number of its name. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown experiment or endpoint, `INVALID_PARAMETER_VALUE` for a deleted
    /// experiment. Upstream: `SqlAlchemyStore.register_scorer`.
    pub async fn register_scorer(
        &self,
        experiment_id: ExperimentId,
        new: NewScorer,
    ) -> Result<register_scorer::Response> {
        self.write(move |conn| register_in(conn, &experiment_id, &new)).await
    }

    /// Returns the newest version of each scorer, by experiment and name.
    ///
    /// # Errors
    /// As for an experiment that is unknown or deleted, where one is named. Upstream: `SqlAlchemyStore.list_scorers`,
    /// `list_scorers_across_experiments`.
    pub async fn list_scorers(&self, of: ScorersOf) -> Result<Vec<Scorer>> {
        self.read(move |conn| {
            let wanted = match &of {
                ScorersOf::Experiment(id) => Some(vec![active_experiment(conn, id)?]),
                ScorersOf::Experiments(ids) => Some(ids.clone()),
                ScorersOf::Everybody => None,
            };
            let statement = list_statement(conn, wanted.as_deref());
            let rows: Vec<VersionRow> = each!(conn, c => statement.load(c))?;
            shown(conn, rows)
        })
        .await
    }

    /// Returns the versions of a scorer, the oldest first.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; as for an experiment that is unknown or deleted.
    pub async fn list_scorer_versions(
        &self,
        experiment_id: ExperimentId,
        name: String,
    ) -> Result<Vec<Scorer>> {
        self.read(move |conn| {
            let scorer = get_scorer_row(conn, &experiment_id, &name)?;
            let rows = versions_of(conn, &scorer, None)?;
            if rows.is_empty() {
                return Err(not_found(&experiment_id, &name, None));
            }
            shown(conn, rows)
        })
        .await
    }

    /// Returns a version of a scorer, or its newest one.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; as for an experiment that is unknown or deleted.
    pub async fn get_scorer(
        &self,
        experiment_id: ExperimentId,
        name: String,
        version: Option<i32>,
    ) -> Result<Scorer> {
        self.read(move |conn| {
            let scorer = get_scorer_row(conn, &experiment_id, &name)?;
            let row = versions_of(conn, &scorer, version)?.pop();
            let row = row.ok_or_else(|| not_found(&experiment_id, &name, version))?;
            let plain = row.serialized_scorer.clone();
            let mut scorer = shown(conn, vec![row])?.pop().unwrap_or_default();
            // Stock writes the body anew only where it changes it.
            if Json::parse(plain.as_bytes()).as_ref().and_then(endpoint_of).is_none() {
                scorer.serialized_scorer = Some(plain);
            }
            Ok(scorer)
        })
        .await
    }

    /// Deletes a version of a scorer, or the scorer with all of them. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; as for an experiment that is unknown or deleted.
    pub async fn delete_scorer(
        &self,
        experiment_id: ExperimentId,
        name: String,
        version: Option<i32>,
    ) -> Result<()> {
        self.write(move |conn| {
            let scorer = get_scorer_row(conn, &experiment_id, &name)?;
            let id = &scorer.scorer_id;
            let versions = scorer_versions::table.filter(scorer_versions::scorer_id.eq(id));
            let deleted = match version {
                Some(version) => {
                    let one = versions.filter(scorer_versions::scorer_version.eq(version));
                    each!(conn, c => diesel::delete(one).execute(c))?
                }
                None => each!(conn, c => diesel::delete(versions).execute(c))?,
            };
            if deleted == 0 {
                return Err(not_found(&experiment_id, &name, version));
            }
            if version.is_none() {
                unbind(conn, id)?;
                let configs = online_scoring_configs::table.filter(online_scoring_configs::scorer_id.eq(id));
                each!(conn, c => diesel::delete(configs).execute(c))?;
                each!(conn, c => diesel::delete(scorers::table.find(id)).execute(c))?;
            }
            Ok(())
        })
        .await
    }

    /// Returns when each of the scorers of these ids runs by itself; nothing for those that do not.
    pub async fn get_online_scoring_configs(
        &self,
        scorer_ids: Vec<String>,
    ) -> Result<Vec<OnlineScoringConfig>> {
        self.read(move |conn| {
            let mut configs = Vec::new();
            for chunk in scorer_ids.chunks(IDS_PER_STATEMENT) {
                let rows: Vec<ConfigRow> = each!(conn, c => online_scoring_configs::table
                    .filter(online_scoring_configs::scorer_id.eq_any(chunk))
                    .order(online_scoring_configs::online_scoring_config_id)
                    .select(ConfigRow::as_select())
                    .load(c))?;
                configs.extend(rows.into_iter().map(ConfigRow::into_message));
            }
            Ok(configs)
        })
        .await
    }

    /// Says when a scorer runs by itself, whatever was said before. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for a scorer that cannot run so. Upstream:
    /// `SqlAlchemyStore.upsert_online_scoring_config`.
    pub async fn upsert_online_scoring_config(&self, new: OnlineScoring) -> Result<OnlineScoringConfig> {
        self.write(move |conn| upsert_config_in(conn, &new)).await
    }
}

/// A row of `scorers`.
#[derive(Queryable, Debug)]
struct ScorerRow {
    experiment_id: i32,
    scorer_name: String,
    scorer_id: String,
}

/// A version of a scorer with what the scorer has.
#[derive(Queryable, Debug)]
struct VersionRow {
    experiment_id: i32,
    scorer_name: String,
    scorer_version: i32,
    serialized_scorer: String,
    creation_time: Option<i64>,
    scorer_id: String,
}

/// The SQL type of a [`VersionRow`].
type VersionColumns = (Integer, Text, Integer, Text, Nullable<BigInt>, Text);

/// A row of `online_scoring_configs`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = online_scoring_configs, treat_none_as_default_value = false)]
struct ConfigRow {
    online_scoring_config_id: String,
    scorer_id: String,
    sample_rate: f64,
    experiment_id: i32,
    filter_string: Option<String>,
}

impl ConfigRow {
    fn into_message(self) -> OnlineScoringConfig {
        OnlineScoringConfig {
            online_scoring_config_id: Some(self.online_scoring_config_id),
            scorer_id: Some(self.scorer_id),
            sample_rate: Some(self.sample_rate),
            experiment_id: Some(self.experiment_id.to_string()),
            filter_string: self.filter_string,
        }
    }
}

fn not_found(experiment_id: &ExperimentId, name: &str, version: Option<i32>) -> Error {
    let version = version.map(|version| format!(" and version {version}")).unwrap_or_default();
    Error::not_found(format!("Scorer with name '{name}'{version} not found for experiment {experiment_id}."))
}

fn active_experiment(conn: &mut Conn, id: &ExperimentId) -> Result<i32> {
    require_active(&get_experiment_in(conn, id.number())?)?;
    Ok(id.number())
}

/// Returns a scorer; inside a transaction that writes, with its lock, so that its versions have no gaps.
fn find_scorer(conn: &mut Conn, experiment_id: i32, name: &str, lock: bool) -> Result<Option<ScorerRow>> {
    const PLAIN: &str = "SELECT experiment_id, scorer_name, scorer_id FROM scorers WHERE experiment_id = ? AND scorer_name = ?";
    const LOCKED: &str = "SELECT experiment_id, scorer_name, scorer_id FROM scorers WHERE experiment_id = ? \
                          AND scorer_name = ? FOR NO KEY UPDATE";
    let text = if lock { conn.dialect().pick(LOCKED, PLAIN) } else { PLAIN };
    let binds = [Bind::BigInt(experiment_id.into()), Bind::Text(name)];
    let rows: Vec<ScorerRow> = each!(conn, c => statement::<(Integer, Text, Text)>(text, &binds).load(c))?;
    Ok(rows.into_iter().next())
}

fn get_scorer_row(conn: &mut Conn, experiment_id: &ExperimentId, name: &str) -> Result<ScorerRow> {
    let number = active_experiment(conn, experiment_id)?;
    find_scorer(conn, number, name, false)?.ok_or_else(|| not_found(experiment_id, name, None))
}

/// Returns the versions of a scorer, or one of them.
fn versions_of(conn: &mut Conn, scorer: &ScorerRow, version: Option<i32>) -> Result<Vec<VersionRow>> {
    use scorer_versions::{creation_time, scorer_id, scorer_version, serialized_scorer, table};
    let wanted = version.unwrap_or_default();
    let rows: Vec<(i32, String, Option<i64>)> = each!(conn, c => table
        .filter(scorer_id.eq(&scorer.scorer_id))
        .filter(scorer_version.eq(wanted).or(version.is_none().into_sql::<diesel::sql_types::Bool>()))
        .order(scorer_version)
        .select((scorer_version, serialized_scorer, creation_time))
        .load(c))?;
    let row = |(number, serialized, time)| VersionRow {
        experiment_id: scorer.experiment_id,
        scorer_name: scorer.scorer_name.clone(),
        scorer_version: number,
        serialized_scorer: serialized,
        creation_time: time,
        scorer_id: scorer.scorer_id.clone(),
    };
    Ok(rows.into_iter().map(row).collect())
}

/// The newest versions of the scorers of the active ones among `experiments`, or of every active experiment.
fn list_statement(conn: &Conn, experiments: Option<&[i32]>) -> Search<VersionColumns> {
    let mut search = Search::new(conn.dialect());
    search.sql(
        "SELECT s.experiment_id, s.scorer_name, v.scorer_version, v.serialized_scorer, v.creation_time, ",
    );
    search.sql("s.scorer_id FROM scorers s JOIN experiments e ON e.experiment_id = s.experiment_id ");
    search.sql("JOIN scorer_versions v ON v.scorer_id = s.scorer_id AND v.scorer_version = ");
    search.sql("(SELECT max(m.scorer_version) FROM scorer_versions m WHERE m.scorer_id = s.scorer_id) ");
    search.sql("WHERE e.lifecycle_stage = 'active' AND e.workspace = ").text(DEFAULT_WORKSPACE);
    if let Some(experiments) = experiments {
        search.sql(" AND s.experiment_id").ids(Membership::In, experiments);
    }
    search.sql(" ORDER BY s.experiment_id, s.scorer_name");
    search
}

/// Makes messages of rows, with the names of endpoints, by one statement.
fn shown(conn: &mut Conn, rows: Vec<VersionRow>) -> Result<Vec<Scorer>> {
    let bodies: Vec<Json> =
        rows.iter().map(|row| Json::parse(row.serialized_scorer.as_bytes()).unwrap_or(Json::Null)).collect();
    let ids: Vec<&str> = bodies.iter().filter_map(endpoint_of).collect();
    let names = endpoint_names(conn, &ids)?;
    let message = |(row, mut body): (VersionRow, Json)| {
        if let Some(id) = endpoint_of(&body).map(str::to_owned) {
            set_endpoint(&mut body, names.get(&id).map(String::as_str));
        }
        Scorer {
            experiment_id: Some(row.experiment_id),
            scorer_name: Some(row.scorer_name),
            scorer_version: Some(row.scorer_version),
            serialized_scorer: Some(body.dumps_spaced()),
            creation_time: row.creation_time,
            scorer_id: Some(row.scorer_id),
        }
    };
    Ok(rows.into_iter().zip(bodies).map(message).collect())
}

fn endpoint_names(conn: &mut Conn, ids: &[&str]) -> Result<HashMap<String, String>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut search = Search::<(Text, Text)>::new(conn.dialect());
    search.sql("SELECT endpoint_id, name FROM endpoints WHERE name IS NOT NULL AND workspace = ");
    search.text(DEFAULT_WORKSPACE).sql(" AND endpoint_id").texts(Membership::In, ids);
    let rows: Vec<(String, String)> = each!(conn, c => search.load(c))?;
    Ok(rows.into_iter().collect())
}

fn endpoint_id(conn: &mut Conn, name: &str) -> Result<String> {
    const TEXT: &str = "SELECT endpoint_id FROM endpoints WHERE workspace = ? AND name = ?";
    let binds = [Bind::Text(DEFAULT_WORKSPACE), Bind::Text(name)];
    let found: Option<String> = each!(conn, c => statement::<Text>(TEXT, &binds).get_result(c).optional())?;
    found.ok_or_else(|| Error::not_found(format!("GatewayEndpoint not found (name='{name}')")))
}

fn register_in(
    conn: &mut Conn,
    experiment_id: &ExperimentId,
    new: &NewScorer,
) -> Result<register_scorer::Response> {
    let number = active_experiment(conn, experiment_id)?;
    let endpoint = endpoint_of(&new.body).map(|name| endpoint_id(conn, name)).transpose()?;
    let stored = match &endpoint {
        Some(id) => {
            let mut body = new.body.clone();
            set_endpoint(&mut body, Some(id));
            body.dumps_spaced()
        }
        None => new.serialized.clone(),
    };
    let scorer = scorer_to_extend(conn, number, &new.name)?;
    let id = &scorer.scorer_id;
    let newest: Option<i32> = each!(conn, c => scorer_versions::table
        .filter(scorer_versions::scorer_id.eq(id))
        .select(diesel::dsl::max(scorer_versions::scorer_version))
        .get_result(c))?;
    let (version, now) = (newest.unwrap_or(0) + 1, now_ms());
    let row = (
        scorer_versions::scorer_id.eq(id),
        scorer_versions::scorer_version.eq(version),
        scorer_versions::serialized_scorer.eq(&stored),
        scorer_versions::creation_time.eq(now),
    );
    each!(conn, c => diesel::insert_into(scorer_versions::table).values(row).execute(c))?;
    if let Some(endpoint) = &endpoint {
        unbind(conn, id)?;
        bind(conn, endpoint, &scorer, now)?;
    }
    // The name of the endpoint is what was given.
    let shown = if endpoint.is_some() { new.body.dumps_spaced() } else { stored };
    Ok(register_scorer::Response {
        version: Some(version),
        scorer_id: Some(scorer.scorer_id),
        experiment_id: Some(number.to_string()),
        name: Some(scorer.scorer_name),
        serialized_scorer: Some(shown),
        creation_time: Some(now),
    })
}

/// Returns the scorer of a name with its lock; it is made if it is not there.
fn scorer_to_extend(conn: &mut Conn, experiment_id: i32, name: &str) -> Result<ScorerRow> {
    let row = (
        scorers::experiment_id.eq(experiment_id),
        scorers::scorer_name.eq(name),
        scorers::scorer_id.eq(Uuid::new_v4().to_string()),
    );
    each!(conn, c => diesel::insert_into(scorers::table).values(row).on_conflict_do_nothing().execute(c))?;
    find_scorer(conn, experiment_id, name, true)?
        .ok_or_else(|| Error::internal("a scorer is gone that was just there"))
}

fn unbind(conn: &mut Conn, scorer_id: &str) -> Result<()> {
    const TEXT: &str = "DELETE FROM endpoint_bindings WHERE resource_type = ? AND resource_id = ?";
    let binds = [Bind::Text(SCORER), Bind::Text(scorer_id)];
    each!(conn, c => statement::<()>(TEXT, &binds).execute(c))?;
    Ok(())
}

fn bind(conn: &mut Conn, endpoint: &str, scorer: &ScorerRow, now: i64) -> Result<()> {
    const TEXT: &str = "INSERT INTO endpoint_bindings (endpoint_id, resource_type, resource_id, display_name, \
                        created_at, last_updated_at) VALUES (?, ?, ?, ?, ?, ?)";
    let binds = [
        Bind::Text(endpoint),
        Bind::Text(SCORER),
        Bind::Text(&scorer.scorer_id),
        Bind::Text(&scorer.scorer_name),
        Bind::BigInt(now),
        Bind::BigInt(now),
    ];
    each!(conn, c => statement::<()>(TEXT, &binds).execute(c))?;
    Ok(())
}

fn upsert_config_in(conn: &mut Conn, new: &OnlineScoring) -> Result<OnlineScoringConfig> {
    let experiment_id = ExperimentId::parse(&new.experiment_id)?;
    let number = active_experiment(conn, &experiment_id)?;
    let scorer = find_scorer(conn, number, &new.name, true)?;
    let scorer = scorer.ok_or_else(|| not_found(&experiment_id, &new.name, None))?;
    let newest: Option<String> = each!(conn, c => scorer_versions::table
        .filter(scorer_versions::scorer_id.eq(&scorer.scorer_id))
        .order(scorer_versions::scorer_version.desc())
        .select(scorer_versions::serialized_scorer)
        .first(c)
        .optional())?;
    if let Some(body) = newest.and_then(|body| Json::parse(body.as_bytes())) {
        new.validate_scorer(&body)?;
    }
    let old = online_scoring_configs::scorer_id.eq(&scorer.scorer_id);
    each!(conn, c => diesel::delete(online_scoring_configs::table).filter(old).execute(c))?;
    let row = ConfigRow {
        online_scoring_config_id: Uuid::new_v4().simple().to_string(),
        scorer_id: scorer.scorer_id,
        sample_rate: new.sample_rate,
        experiment_id: number,
        filter_string: new.filter.clone(),
    };
    each!(conn, c => diesel::insert_into(online_scoring_configs::table).values(&row).execute(c))?;
    Ok(row.into_message())
}
