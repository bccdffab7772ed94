//! The schema: made on an empty database, adopted where stock MLflow 3.17.2 made it, refused where another
//! release did. The texts are in `migrations/`; those after the first add what only we need, and stock neither
//! sees nor minds it.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::Text;
use tracing::{info, warn};

use super::conn::{Access, Conn, ConnSettings};
use super::dialect::Dialect;
use super::error::{is_forbidden, is_retryable, is_unique_violation};
use super::schema::experiments;
use super::uri::DatabaseUri;
use super::{Store, each, sqlite_file};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::time::now_ms;
use crate::domain::{Error, ErrorCode, Result, artifact_uri};

/// The revision (alembic's) of the schema of stock MLflow 3.17.2.
pub const STOCK_REVISION: &str = "dc11669786a5";

/// The revisions that lead there, in no order: what an older release of MLflow left behind.
const OLDER_REVISIONS: [&str; 66] = [
    "0584bdc529eb",
    "0a8213491aaa",
    "0c779009ac13",
    "17e22815139b",
    "181f10493468",
    "1971f2d9a75b",
    "1a0cddfcaa16",
    "1b5f0d9ad7c1",
    "1bd49d398cd23",
    "27a6a02d2cf1",
    "2b4d017a5e9b",
    "2c33131f4dae",
    "2d6e25af4d3e",
    "3500859a5d39",
    "39d1c3be5f05",
    "3da73c924c2f",
    "400f98739977",
    "4465047574b1",
    "451aebb31d03",
    "534353b11cbc",
    "5b0e9adcef9c",
    "5d2d30f0abce",
    "6953534de441",
    "6f8d9c3b2a1e",
    "71994744cf8e",
    "728d730b5ebd",
    "75868b020152",
    "76601a5f987d",
    "770bee3ae1dd",
    "7ac759974ad8",
    "7d34483879f0",
    "7f2a7d5fae7d",
    "84291f40a231",
    "867495a8f9d4",
    "89d3d66ed43f",
    "89d4b8295536",
    "90e64c465722",
    "97727af70f4d",
    "a1b2c3d4e5f6",
    "a5b4c3d2e1f0",
    "a8b9c0d1e2f3",
    "a8c4a736bde6",
    "acf3f17fdcc7",
    "ae8bbe7743c9",
    "b7c8d9e0f1a2",
    "b7e2c1a4d9f3",
    "b7e4c1a90f23",
    "bd07f7e963c5",
    "bda7b8c39065",
    "bf29a5ff90ea",
    "c1d2e3f4a5b6",
    "c3d6457b6d8a",
    "c3d9e7f1a2b4",
    "c48cb773bb87",
    "c8d9e0f1a2b3",
    "c9d4e5f6a7b8",
    "cbc13b556ace",
    "cc1f77228345",
    "cfd24bdc0731",
    "d0e1f2a3b4c5",
    "d3e4f5a6b7c8",
    "da6fb0208061",
    "de4033877273",
    "df50e92ffc5e",
    "e1f2a3b4c5d6",
    "f5a4f2784254",
];

/// Tables that no database of MLflow is without.
const STOCK_TABLES: [&str; 2] = ["experiments", "runs"];

/// How long to wait for another program that opens the same SQLite file.
const OPEN_PATIENCE: Duration = Duration::from_secs(20);

/// One folder of `migrations/`.
struct Migration {
    name: &'static str,
    postgres: &'static str,
    sqlite: &'static str,
}

macro_rules! migration {
    ($name:literal, $file:literal) => {
        Migration {
            name: $name,
            postgres: include_str!(concat!("../../migrations/postgres/", $name, "/", $file)),
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, "/", $file)),
        }
    };
}

const STOCK: Migration = migration!("0001_stock_3_17_2", "up.sql");
const OURS: [Migration; 7] = [
    migration!("0002_ferroflow", "up.sql"),
    migration!("0003_webhook_deliveries", "up.sql"),
    migration!("0004_model_versions_listing", "up.sql"),
    migration!("0005_registry_tags", "up.sql"),
    migration!("0006_traces_by_value", "up.sql"),
    migration!("0007_traces_by_duration", "up.sql"),
    migration!("0008_what_experiments_hold", "up.sql"),
];

/// What a database holds that this program can serve or make servable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No MLflow at all.
    Empty,
    /// Stock's schema without all of our additions.
    Stock,
    /// Everything.
    Ready,
}

/// What [`upgrade`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Made the whole schema.
    Made,
    /// Added to stock's schema what only we need.
    Adopted,
    /// Left stock's schema as it was, since the database's user may not add to it. Listings of runs are slower, and
    /// webhooks are told nothing.
    AdoptedAsItIs,
    /// Nothing.
    Nothing,
}

/// Says what the database holds, without changing it.
///
/// # Errors
/// `INVALID_STATE` naming the revision when it is not [`STOCK_REVISION`], and what to do then.
pub fn check(uri: &DatabaseUri) -> Result<Found> {
    if uri.is_missing_file() {
        return Ok(Found::Empty);
    }
    find(&mut connect(uri, Access::Read)?)
}

/// Brings the database to the schema that is served, in one transaction. Servers that start at once wait for one
/// another.
///
/// # Errors
/// As for [`check`].
pub fn upgrade(uri: &DatabaseUri) -> Result<Outcome> {
    sqlite_file::make_folder(uri)?;
    let mut conn = connect(uri, Access::Write)?;
    sqlite_file::announce(&mut conn, uri);
    let before = find(&mut conn)?;
    if before == Found::Ready {
        return Ok(Outcome::Nothing);
    }
    conn.batch_execute(conn.dialect().begin_migration())?;
    // Another server may have done the work while this one waited.
    let result = find(&mut conn).and_then(|found| apply(&mut conn, found));
    let ended = conn.batch_execute(if result.is_ok() { "COMMIT" } else { "ROLLBACK" });
    match result {
        Ok(outcome) => {
            ended?;
            info!("the schema of {uri} is at MLflow 3.17.2's revision {STOCK_REVISION}");
            Ok(outcome)
        }
        Err(error) if before == Found::Stock && error.code == ErrorCode::PermissionDenied => {
            warn!(
                "the database refuses our table and index, without which webhooks are told nothing and listings of \
                 runs are slower: {error}"
            );
            Ok(Outcome::AdoptedAsItIs)
        }
        Err(error) => Err(error),
    }
}

fn apply(conn: &mut Conn, found: Found) -> Result<Outcome> {
    let dialect = conn.dialect();
    if found == Found::Empty {
        conn.batch_execute(STOCK.sql(dialect)).map_err(|e| failed(&STOCK, e))?;
    }
    let applied = applied(conn)?;
    for migration in OURS.iter().filter(|m| !applied.contains(m.name)) {
        conn.batch_execute(migration.sql(dialect)).map_err(|e| failed(migration, e))?;
        let (name, now) = (migration.name, now_ms());
        conn.batch_execute(&format!("INSERT INTO ferroflow_migrations VALUES ('{name}', {now})"))?;
    }
    Ok(match found {
        Found::Empty => Outcome::Made,
        Found::Stock => Outcome::Adopted,
        Found::Ready => Outcome::Nothing,
    })
}

fn find(conn: &mut Conn) -> Result<Found> {
    let tables = names(conn, conn.dialect().table_names())?;
    let revisions = if tables.contains("alembic_version") {
        names(conn, "SELECT version_num AS name FROM alembic_version")?
    } else {
        HashSet::new()
    };
    let mut revisions = revisions.iter().map(String::as_str);
    match (revisions.next(), revisions.next()) {
        (None, _) if STOCK_TABLES.iter().any(|table| tables.contains(*table)) => Err(unversioned()),
        (None, _) => Ok(Found::Empty),
        (Some(STOCK_REVISION), None) => {
            let applied = applied_among(conn, &tables)?;
            Ok(if OURS.iter().all(|m| applied.contains(m.name)) { Found::Ready } else { Found::Stock })
        }
        (Some(revision), None) => Err(wrong_revision(revision)),
        (Some(one), Some(other)) => Err(refusal(format!(
            "The database has more than one schema revision ({one}, {other}): another program keeps its own there, \
             or an upgrade was cut. Give this server a database of its own, or restore a backup."
        ))),
    }
}

/// Returns the names of our migrations that the database has.
fn applied(conn: &mut Conn) -> Result<HashSet<String>> {
    let tables = names(conn, conn.dialect().table_names())?;
    applied_among(conn, &tables)
}

fn applied_among(conn: &mut Conn, tables: &HashSet<String>) -> Result<HashSet<String>> {
    if tables.contains("ferroflow_migrations") {
        names(conn, "SELECT name FROM ferroflow_migrations")
    } else {
        Ok(HashSet::new())
    }
}

impl Migration {
    const fn sql(&self, dialect: Dialect) -> &'static str {
        dialect.pick(self.postgres, self.sqlite)
    }
}

#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = Text)]
    name: String,
}

fn names(conn: &mut Conn, sql: &str) -> Result<HashSet<String>> {
    let rows: Vec<NameRow> = each!(conn, c => diesel::sql_query(sql).load(c))?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// Opens a connection without a limit on a statement's time.
fn connect(uri: &DatabaseUri, access: Access) -> Result<Conn> {
    let settings = ConnSettings { statement_timeout_ms: 0, lock_timeout_ms: 0, ..ConnSettings::default() };
    let deadline = Instant::now() + OPEN_PATIENCE;
    loop {
        match Conn::open(uri, access, &settings) {
            // SQLite does not wait for the lock that turns a new file to WAL.
            Err(error) if is_retryable(&error) && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result.map_err(with_cause),
        }
    }
}

/// Tells the operator, who is the one that starts a server, what only the log would tell later.
pub(super) fn with_cause(mut error: Error) -> Error {
    if let Some(cause) = &error.source {
        let cause = cause.to_string();
        error.message = format!(
            "The database cannot be opened: {}",
            cause.split_whitespace().collect::<Vec<_>>().join(" ")
        );
    }
    error
}

fn refusal(message: String) -> Error {
    Error::new(ErrorCode::InvalidState, message)
}

fn wrong_revision(revision: &str) -> Error {
    if OLDER_REVISIONS.contains(&revision) {
        return refusal(format!(
            "The database's schema is at revision {revision}, older than {STOCK_REVISION} of MLflow 3.17.2. Back it \
             up, then upgrade it with `pip install mlflow==3.17.2` and `mlflow db upgrade <uri>`, and start again."
        ));
    }
    refusal(format!(
        "The database's schema is at revision {revision}, which MLflow 3.17.2 (revision {STOCK_REVISION}) does not \
         know: a newer MLflow or another program made it. Serve it with a release that knows it, restore a backup \
         from before the upgrade, or give this server another database."
    ))
}

fn unversioned() -> Error {
    refusal(format!(
        "The database has MLflow's tables but no schema revision (alembic_version): it was made before MLflow 1.0 or \
         restored in part. Back it up, then bring it to revision {STOCK_REVISION} with `pip install mlflow==3.17.2` \
         and `mlflow db upgrade <uri>`, and start again."
    ))
}

fn failed(migration: &Migration, error: diesel::result::Error) -> Error {
    let message = format!("The schema could not be made (migration {}): {error}", migration.name);
    let is_forbidden = is_forbidden(&error);
    let mut failure = Error::from(error);
    failure.message = message;
    // An operator's to mend, and not worth a second try.
    if is_forbidden {
        failure.code = ErrorCode::PermissionDenied;
    }
    failure
}

impl Store {
    /// Makes experiment 0, "Default", unless there is one. Idempotent, also between servers that start at once.
    ///
    /// Upstream: `SqlAlchemyStore._initialize_store_state`.
    ///
    /// # Errors
    /// `INVALID_STATE` when experiments of other workspaces than the default one are there, which are not served;
    /// `RESOURCE_ALREADY_EXISTS` when another experiment has the name.
    pub async fn ensure_default_experiment(&self) -> Result<()> {
        let root = self.artifact_root.clone();
        self.write(move |conn| ensure_default_experiment_in(conn, &root)).await
    }
}

fn ensure_default_experiment_in(conn: &mut Conn, root: &str) -> Result<()> {
    let elsewhere = experiments::table.filter(experiments::workspace.ne(DEFAULT_WORKSPACE));
    if each!(conn, c => diesel::select(diesel::dsl::exists(elsewhere)).get_result::<bool>(c))? {
        return Err(refusal(
            "The database has experiments outside the default workspace, and workspaces are not served. Move them to \
             the default workspace, or serve it with stock MLflow and MLFLOW_ENABLE_WORKSPACES."
                .to_owned(),
        ));
    }
    let existing = experiments::table.find(0);
    if each!(conn, c => diesel::select(diesel::dsl::exists(existing)).get_result::<bool>(c))? {
        return Ok(());
    }
    let now = now_ms();
    let row = (
        experiments::experiment_id.eq(0),
        experiments::name.eq("Default"),
        experiments::artifact_location.eq(artifact_uri::experiment_location(root, "0")?),
        experiments::lifecycle_stage.eq("active"),
        experiments::creation_time.eq(now),
        experiments::last_update_time.eq(now),
        experiments::workspace.eq(DEFAULT_WORKSPACE),
    );
    each!(conn, c => diesel::insert_into(experiments::table)
        .values(&row)
        .on_conflict(experiments::experiment_id)
        .do_nothing()
        .execute(c))
    .map_err(|error| {
        if is_unique_violation(&error) {
            return Error::already_exists(
                "Experiment 0 is missing and another experiment is named 'Default'.",
            );
        }
        error.into()
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(folder: &tempfile::TempDir) -> DatabaseUri {
        DatabaseUri::parse(&format!("sqlite:///{}/x.db", folder.path().display())).unwrap()
    }

    fn execute(uri: &DatabaseUri, sql: &str) {
        connect(uri, Access::Write).unwrap().batch_execute(sql).unwrap();
    }

    #[test]
    fn an_empty_database_is_migrated_once() {
        let folder = tempfile::tempdir().unwrap();
        let uri = database(&folder);
        assert_eq!(check(&uri).unwrap(), Found::Empty);
        assert!(uri.is_missing_file(), "a check makes no file");
        assert_eq!(upgrade(&uri).unwrap(), Outcome::Made);
        assert_eq!(check(&uri).unwrap(), Found::Ready);
        assert_eq!(upgrade(&uri).unwrap(), Outcome::Nothing);
    }

    #[test]
    fn a_stock_database_gets_only_our_additions() {
        let folder = tempfile::tempdir().unwrap();
        let uri = database(&folder);
        execute(&uri, STOCK.sqlite);
        assert_eq!(upgrade(&uri).unwrap(), Outcome::Adopted);
        assert_eq!(check(&uri).unwrap(), Found::Ready);
    }

    #[test]
    fn other_schemas_are_refused_with_their_revision() {
        const VERSION: &str =
            "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES";
        for (sql, want) in [
            (format!("{VERSION} ('451aebb31d03')"), "451aebb31d03, older than dc11669786a5"),
            (format!("{VERSION} ('ffffffffffff')"), "ffffffffffff, which MLflow 3.17.2"),
            (format!("{VERSION} ('dc11669786a5'), ('ffffffffffff')"), "more than one schema revision"),
            ("CREATE TABLE experiments (experiment_id INTEGER)".to_owned(), "no schema revision"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let uri = database(&folder);
            execute(&uri, &sql);
            for error in [check(&uri).unwrap_err(), upgrade(&uri).unwrap_err()] {
                assert_eq!(error.code, ErrorCode::InvalidState);
                assert!(error.message.contains(want), "{}", error.message);
            }
        }
    }

    #[test]
    fn a_failed_migration_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let uri = database(&folder);
        execute(&uri, "CREATE TABLE webhooks (id INTEGER)");
        assert!(upgrade(&uri).unwrap_err().message.contains("0001_stock_3_17_2"));
        let mut conn = connect(&uri, Access::Read).unwrap();
        assert_eq!(names(&mut conn, Dialect::Sqlite.table_names()).unwrap(), ["webhooks".to_owned()].into());
    }

    #[test]
    fn servers_that_start_at_once_do_not_collide() {
        let folder = tempfile::tempdir().unwrap();
        let uri = database(&folder);
        let done: Vec<Outcome> = thread::scope(|scope| {
            let all: Vec<_> = (0..6).map(|_| scope.spawn(|| upgrade(&uri).unwrap())).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(done.iter().filter(|one| **one == Outcome::Made).count(), 1, "{done:?}");
        assert_eq!(done.iter().filter(|one| **one == Outcome::Nothing).count(), 5, "{done:?}");
    }

    #[test]
    fn what_goes_up_comes_down() {
        let folder = tempfile::tempdir().unwrap();
        let uri = database(&folder);
        upgrade(&uri).unwrap();
        execute(&uri, migration!("0008_what_experiments_hold", "down.sql").sqlite);
        assert_eq!(check(&uri).unwrap(), Found::Stock);
        execute(&uri, migration!("0007_traces_by_duration", "down.sql").sqlite);
        assert_eq!(check(&uri).unwrap(), Found::Stock);
        execute(&uri, migration!("0006_traces_by_value", "down.sql").sqlite);
        assert_eq!(check(&uri).unwrap(), Found::Stock);
        execute(&uri, migration!("0005_registry_tags", "down.sql").sqlite);
        assert_eq!(check(&uri).unwrap(), Found::Stock);
        execute(&uri, migration!("0004_model_versions_listing", "down.sql").sqlite);
        assert_eq!(check(&uri).unwrap(), Found::Stock);
        execute(&uri, migration!("0003_webhook_deliveries", "down.sql").sqlite);
        assert_eq!(check(&uri).unwrap(), Found::Stock);
        execute(&uri, migration!("0002_ferroflow", "down.sql").sqlite);
        assert_eq!(check(&uri).unwrap(), Found::Stock);
        execute(&uri, migration!("0001_stock_3_17_2", "down.sql").sqlite);
        let mut conn = connect(&uri, Access::Read).unwrap();
        assert!(names(&mut conn, "SELECT name FROM sqlite_master").unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_default_experiment_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let uri = database(&folder);
        upgrade(&uri).unwrap();
        let store =
            Store::open(uri.clone(), "mlflow-artifacts:/".into(), &crate::store::StoreSettings::default());
        let store = store.unwrap();
        store.ensure_default_experiment().await.unwrap();
        store.ensure_default_experiment().await.unwrap();
        let made = store.get_experiment("0".into()).await.unwrap();
        assert_eq!((made.name(), made.artifact_location()), ("Default", "mlflow-artifacts:/0"));
        assert_eq!((made.lifecycle_stage(), made.creation_time), ("active", made.last_update_time));

        execute(&uri, "UPDATE experiments SET experiment_id = 5");
        let error = store.ensure_default_experiment().await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ResourceAlreadyExists);
        execute(&uri, "UPDATE experiments SET workspace = 'team'");
        let error = store.ensure_default_experiment().await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidState);
    }
}
