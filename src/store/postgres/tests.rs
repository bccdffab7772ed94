//! What the connection promises, on the PostgreSQL that `TEST_DATABASE_URL` names, if it is set.

use std::time::{Duration, Instant};

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::result::Error as Diesel;
use diesel::sql_types::{BigInt, Integer, Text};

use super::{PgConn, sqlstate};
use crate::domain::Error;
use crate::store::conn::{Access, Conn, ConnSettings, LockWait, Pooler};
use crate::store::error::{Fault, fault, is_commit_unknown};
use crate::store::statement::{Bind, statement};
use crate::store::uri::DatabaseUri;

fn open(pooler: Pooler) -> Option<Conn> {
    let url = std::env::var("TEST_DATABASE_URL").ok()?;
    let settings = ConnSettings { pooler, ..ConnSettings::default() };
    Some(Conn::open(&DatabaseUri::parse(&url).unwrap(), Access::Write, &settings).unwrap())
}

fn pg(conn: &mut Conn) -> &mut PgConn {
    match conn {
        Conn::Pg(pg) => pg,
        Conn::Sqlite(_) => panic!("not PostgreSQL"),
    }
}

fn count(conn: &mut Conn, sql: &'static str) -> i64 {
    statement::<BigInt>(sql, &[]).get_result(pg(conn)).unwrap()
}

#[test]
fn a_statement_that_takes_too_long_loses_the_connection() {
    let Some(mut conn) = open(Pooler::Auto) else { return };
    let begun = Instant::now();
    assert!(pg(&mut conn).answers(Duration::from_secs(5)));
    pg(&mut conn).wire.link.set_patience(Duration::from_millis(200));
    let error = Error::from(pg(&mut conn).batch_execute("SELECT pg_sleep(20)").unwrap_err());
    assert_eq!(fault(&error), Some(Fault::Late));
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert!(!conn.is_usable());
}

#[test]
fn errors_keep_their_state() {
    let Some(mut conn) = open(Pooler::Auto) else { return };
    for (sql, want) in [
        ("SELECT 1 / 0", "22012"),
        ("SELECT nothing", "42703"),
        ("SELECT 'a' ~ '('", "2201B"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "57P01"),
    ] {
        let Err(Diesel::DatabaseError(_, report)) = pg(&mut conn).batch_execute(sql) else {
            panic!("{sql} is no error");
        };
        let state = sqlstate(report.as_ref()).unwrap();
        // The server's last words may be lost with the connection.
        assert!(state == want || (want == "57P01" && state == "08006"), "{sql}: {state}");
    }
}

#[test]
fn a_transaction_that_failed_is_not_said_to_be_committed() {
    for pooler in [Pooler::None, Pooler::Transaction] {
        let Some(mut conn) = open(pooler) else { return };
        conn.begin(LockWait::Brief).unwrap();
        conn.batch_execute("SELECT 1 / 0").unwrap_err();
        let error = conn.commit().unwrap_err();
        assert_eq!((fault(&error), is_commit_unknown(&error)), (Some(Fault::Lost), false), "{pooler:?}");
        conn.batch_execute("ROLLBACK").unwrap();

        conn.begin(LockWait::Long).unwrap();
        conn.commit().unwrap();
        // Somebody else's session, or ours after its transaction was ended behind our back.
        conn.begin(LockWait::Brief).unwrap();
        conn.batch_execute("ROLLBACK").unwrap();
        assert_eq!(conn.commit().map_err(|e| fault(&e)).unwrap_err(), Some(Fault::Lost), "{pooler:?}");
    }
}

#[test]
fn behind_a_pooler_another_transaction_is_not_committed() {
    let Some(mut conn) = open(Pooler::Transaction) else { return };
    conn.begin(LockWait::Brief).unwrap();
    conn.batch_execute("ROLLBACK; BEGIN; SET LOCAL ferroflow.transaction = 'somebody else'").unwrap();
    conn.commit().unwrap_err();
    assert!(!pg(&mut conn).is_idle(), "the other transaction is still open");
}

#[test]
fn only_a_session_of_our_own_keeps_statements_and_settings() {
    const PREPARED: &str = "SELECT count(*) FROM pg_prepared_statements";
    const CHANGED: &str = "SELECT count(*) FROM pg_settings WHERE name IN ('jit', 'lock_timeout', \
                           'statement_timeout') AND source = 'session'";
    let Some(mut conn) = open(Pooler::Auto) else { return };
    assert!(!conn.needs_transaction());
    assert_eq!((count(&mut conn, CHANGED), count(&mut conn, PREPARED)), (3, 2));
    let Some(mut conn) = open(Pooler::Transaction) else { return };
    assert!(conn.needs_transaction());
    assert_eq!((count(&mut conn, CHANGED), count(&mut conn, PREPARED)), (0, 0));
    conn.begin(LockWait::Brief).unwrap();
    assert_eq!(count(&mut conn, CHANGED), 3);
    conn.commit().unwrap();
    assert_eq!(count(&mut conn, CHANGED), 0);
}

#[test]
fn connections_name_their_statements_differently() {
    let (Some(one), Some(other)) = (open(Pooler::None), open(Pooler::None)) else { return };
    let name = |conn: &Conn| match conn {
        Conn::Pg(pg) => pg.wire.name.clone(),
        Conn::Sqlite(_) => String::new(),
    };
    assert_ne!(name(&one), name(&other));
}

#[test]
fn rows_can_be_read_in_parts_and_left_unread() {
    let Some(mut conn) = open(Pooler::Auto) else { return };
    let binds = [Bind::BigInt(5000)];
    let numbers = || statement::<(BigInt, Text)>("SELECT n, n::text FROM generate_series(1, ?) n", &binds);
    let all: Vec<(i64, String)> =
        numbers().load_iter::<_, super::InParts>(pg(&mut conn)).unwrap().map(Result::unwrap).collect();
    assert_eq!((all.len(), all[4999].clone()), (5000, (5000, "5000".to_owned())));
    let first: (i64, String) =
        numbers().load_iter::<_, super::InParts>(pg(&mut conn)).unwrap().next().unwrap().unwrap();
    assert_eq!(first.0, 1);
    let again: i32 = statement::<Integer>("SELECT 7", &[]).get_result(pg(&mut conn)).unwrap();
    assert_eq!(again, 7);
}
