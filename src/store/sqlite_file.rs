//! SQLite's database as a file: which file it is, the journal beside it, and what happens to both while the server runs.
//!
//! The journal is a write-ahead log (WAL) wherever its index can be shared as mapped memory. File systems that cannot
//! map it (9p, virtiofs, shares of clouds) get a rollback journal: slower, and readers wait for the writer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};
use tracing::{debug, warn};

use super::conn::{Conn, ConnSettings, unreachable_db};
use super::error::{Fault, fault, is_retryable};
use super::uri::DatabaseUri;
use crate::domain::{Error, Result};

/// How long nothing is written before the log is brought into the database. Too short and a bursty writer waits for it;
/// too long and a copy of the file alone misses more.
const IDLE_TIME: Duration = Duration::from_secs(3);

/// Which file stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Returns the file of a database; `None` if it is no file or is not there.
    pub(super) fn of(uri: &DatabaseUri) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;

        let metadata = fs::metadata(path(uri)?).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// Checks that the database is still the file that the store has opened. Connections keep a file that was removed or
/// replaced, so what they write would be lost; and they must not open the new one while its neighbours, the journals,
/// are those of the old.
///
/// # Errors
/// `TEMPORARILY_UNAVAILABLE`
pub(super) fn require_same(uri: &DatabaseUri, settings: &ConnSettings) -> Result<()> {
    if settings.sqlite_file.is_none() || settings.sqlite_file == FileId::of(uri) {
        return Ok(());
    }
    Err(Error::unavailable(
        "The database file was removed or replaced while the server ran, so nothing can be written. Bring it back, or \
         restart the server to use what is there now.",
    ))
}

/// Opens a connection and chooses its journal.
///
/// # Errors
/// `TEMPORARILY_UNAVAILABLE` if the file cannot be opened or is another one than it should be.
pub(super) fn open(uri: &DatabaseUri, settings: &ConnSettings) -> Result<SqliteConnection> {
    ferroflow_sqlite::install();
    // Opening makes a file where there is none.
    require_same(uri, settings)?;
    let mut conn = connect(uri, settings)?;
    match journal_mode(&mut conn) {
        Ok(mode) if mode == "wal" => {}
        Ok(_) if has_shared_memory(uri) => conn.batch_execute("PRAGMA journal_mode = WAL")?,
        Ok(_) => {}
        Err(error) => {
            let error = Error::from(error);
            // Neither a lock nor a client that hung up says anything of the file.
            if is_retryable(&error) || fault(&error) == Some(Fault::Ended) {
                return Err(error);
            }
            // It keeps a lock on what it could not read.
            drop(conn);
            leave_wal(uri, settings).map_err(|other| {
                debug!(error = %other, cause = other.source, "no other journal for {uri}");
                error
            })?;
            conn = connect(uri, settings)?;
        }
    }
    require_same(uri, settings)?;
    Ok(conn)
}

fn connect(uri: &DatabaseUri, settings: &ConnSettings) -> Result<SqliteConnection> {
    let mut conn = SqliteConnection::establish(&uri.conninfo()).map_err(|e| unreachable_db(&e))?;
    conn.batch_execute(&format!("PRAGMA busy_timeout = {}", settings.busy_timeout_ms))?;
    Ok(conn)
}

#[derive(QueryableByName)]
struct JournalRow {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

fn journal_mode(conn: &mut SqliteConnection) -> QueryResult<String> {
    Ok(diesel::sql_query("PRAGMA journal_mode").get_result::<JournalRow>(conn)?.journal_mode)
}

/// Gives a database a rollback journal whose log cannot be used, because its index cannot be mapped. Whoever has the
/// file to itself keeps the index in its own memory.
fn leave_wal(uri: &DatabaseUri, settings: &ConnSettings) -> Result<()> {
    let mut conn = connect(uri, settings)?;
    conn.batch_execute("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; PRAGMA user_version")?;
    let mode = journal_mode(&mut conn)?;
    if mode == "delete" { Ok(()) } else { Err(Error::internal(format!("the journal stayed {mode}"))) }
}

/// Tries a log out beside the database, where a failure harms nothing.
fn has_shared_memory(uri: &DatabaseUri) -> bool {
    let Some(database) = path(uri) else { return false };
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(format!(".probe-{}", uuid::Uuid::new_v4().simple()));
    let probe = Probe(database.with_file_name(name));
    let tried = SqliteConnection::establish(&probe.0.to_string_lossy()).map_err(|e| e.to_string()).and_then(
        |mut conn| {
            conn.batch_execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE x (y)")
                .map_err(|e| e.to_string())
        },
    );
    if let Err(error) = &tried {
        debug!(error, "no write-ahead log beside {uri}");
    }
    tried.is_ok()
}

/// A database that is removed when this is dropped.
struct Probe(PathBuf);

impl Drop for Probe {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut file = self.0.clone().into_os_string();
            file.push(suffix);
            // Most of them were never there.
            fs::remove_file(file).ok();
        }
    }
}

/// Says once in the log that a database has to do without a write-ahead log.
pub(super) fn announce(conn: &mut Conn, uri: &DatabaseUri) {
    let Conn::Sqlite(conn) = conn else { return };
    if journal_mode(conn).is_ok_and(|mode| mode != "wal") {
        warn!(
            "{uri} has a rollback journal, since memory cannot be shared in its folder: writes are slower and wait for \
             readers. A local disk or PostgreSQL serves many clients better"
        );
    }
}

/// Makes the folder of the database's file, as stock does.
///
/// # Errors
/// `TEMPORARILY_UNAVAILABLE`, naming the folder.
pub(super) fn make_folder(uri: &DatabaseUri) -> Result<()> {
    let Some(folder) = path(uri).and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty())
    else {
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(|e| {
        Error::unavailable(format!("The folder {} of the database cannot be made: {e}", folder.display()))
    })
}

fn path(uri: &DatabaseUri) -> Option<&Path> {
    match uri {
        DatabaseUri::Sqlite(path) => Some(Path::new(path)),
        DatabaseUri::Postgres(_) => None,
    }
}

/// The pauses between writes.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    is_settled: bool,
}

impl Pauses {
    /// Waits for the next write; in a pause, calls `settle` until that says that nothing is left to do. `None` at the
    /// end of the queue.
    pub(super) fn next<T>(&mut self, writes: &Receiver<T>, mut settle: impl FnMut() -> bool) -> Option<T> {
        let next = loop {
            if self.is_settled {
                break writes.recv().ok();
            }
            match writes.recv_timeout(IDLE_TIME) {
                Ok(write) => break Some(write),
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => self.is_settled = settle(),
            }
        };
        self.is_settled = false;
        next
    }
}

#[derive(QueryableByName)]
struct CheckpointRow {
    #[diesel(sql_type = Integer)]
    log: i32,
    #[diesel(sql_type = Integer)]
    checkpointed: i32,
}

/// Brings the pages of the log into the database, so that a copy of the file alone has them; `true` if all are there.
/// Waits for nobody: pages that a reader still needs are brought later.
pub(super) fn checkpoint(conn: &mut Conn) -> bool {
    let Conn::Sqlite(conn) = conn else { return true };
    let row = diesel::sql_query("PRAGMA wal_checkpoint(PASSIVE)").get_result::<CheckpointRow>(conn);
    row.inspect_err(|error| debug!(%error, "no checkpoint")).is_ok_and(|row| row.log == row.checkpointed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(folder: &tempfile::TempDir) -> DatabaseUri {
        DatabaseUri::parse(&format!("sqlite:///{}/a/x.db", folder.path().display())).unwrap()
    }

    #[test]
    fn only_the_same_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let uri = database(&folder);
        make_folder(&uri).unwrap();
        drop(open(&uri, &ConnSettings::default()).unwrap());
        let settings = ConnSettings { sqlite_file: FileId::of(&uri), ..ConnSettings::default() };
        assert!(settings.sqlite_file.is_some() && open(&uri, &settings).is_ok());

        let file = path(&uri).unwrap();
        fs::rename(file, folder.path().join("aside")).unwrap();
        assert!(require_same(&uri, &settings).is_err() && open(&uri, &settings).is_err());
        assert!(!file.exists(), "nothing was made in its place");
        fs::write(file, b"").unwrap();
        assert!(open(&uri, &settings).is_err());
        fs::rename(folder.path().join("aside"), file).unwrap();
        open(&uri, &settings).unwrap();
    }

    #[test]
    fn a_probe_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let uri = database(&folder);
        assert!(!has_shared_memory(&uri), "there is no folder");
        make_folder(&uri).unwrap();
        assert!(has_shared_memory(&uri));
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 0);
    }

    #[test]
    fn a_pause_settles_once() {
        let (sender, writes) = crossbeam_channel::bounded(4);
        let mut pauses = Pauses::default();
        let mut calls = 0;
        sender.send(1).unwrap();
        assert_eq!(pauses.next(&writes, || unreachable!("a write waits")), Some(1));
        std::thread::spawn(move || {
            std::thread::sleep(IDLE_TIME * 3);
            sender.send(2).unwrap();
        });
        // Settled at the second try, and not asked again.
        let settle = || {
            calls += 1;
            calls == 2
        };
        assert_eq!(pauses.next(&writes, settle), Some(2));
        assert!((1..=2).contains(&calls), "{calls}");
        assert_eq!(pauses.next(&writes, || true), None::<i32>);
    }
}
