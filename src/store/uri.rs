//! Which database, read from an SQLAlchemy-style URI, in the way SQLAlchemy reads it. PostgreSQL's becomes a
//! connection string of libpq, so that every parameter libpq knows works as it does for stock's driver.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use super::dialect::Dialect;
use crate::domain::{Error, Result, python};

/// A parsed database URI. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUri {
    /// A PostgreSQL server.
    Postgres(PostgresParams),
    /// The path of an SQLite file.
    Sqlite(String),
}

/// What libpq connects with: its parameter keywords and their values.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PostgresParams(Vec<(String, String)>);

/// Parameters of Python's SQLite driver; they say nothing about which database it is.
const IGNORED_SQLITE_PARAMETERS: [&str; 5] =
    ["timeout", "check_same_thread", "isolation_level", "cached_statements", "detect_types"];

/// Parameters in whose values people write an `@`.
const PARAMETERS_WITH_AT: [&str; 12] = [
    "application_name",
    "dbname",
    "options",
    "passfile",
    "password",
    "service",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "user",
];
/// SQLAlchemy ends a password at its first `@` and takes the rest for a host, which would then show in every message.
const STRAY_AT: &str = "The database URI has an '@' too many: in a user's name, a password or the name of a database it \
                        is written %40.";

impl DatabaseUri {
    /// Parses `sqlite:///path`, `postgresql://…` and `postgresql+driver://…`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` with one line that never contains a password.
    pub fn parse(text: &str) -> Result<Self> {
        if text.contains('\0') {
            return Err(Error::invalid("A database URI cannot contain a NUL byte."));
        }
        let Some((scheme, rest)) = text.split_once(':') else { return Err(not_a_database(text)) };
        let kind = scheme.split('+').next().unwrap_or(scheme);
        match (kind, rest.strip_prefix("//")) {
            ("sqlite", Some(rest)) => parse_sqlite(rest).map(Self::Sqlite),
            ("postgresql" | "postgres", Some(rest)) => parse_postgres(rest).map(Self::Postgres),
            ("sqlite" | "postgresql" | "postgres", None) => {
                Err(Error::invalid(format!("The database URI has no '//' behind the ':' of '{kind}'.")))
            }
            ("mysql" | "mssql" | "oracle" | "mariadb", _) => Err(Error::invalid(format!(
                "Databases of the kind '{kind}' are not supported: use sqlite:///path or postgresql://host/name."
            ))),
            _ => Err(not_a_database(text)),
        }
    }

    /// Returns which database it names.
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Returns what diesel connects with. It contains the password.
    pub fn conninfo(&self) -> String {
        match self {
            Self::Postgres(params) => params.conninfo(),
            // SQLite itself would read these as URIs with parameters of their own.
            Self::Sqlite(path) if path.starts_with("file:") => format!("./{path}"),
            Self::Sqlite(path) => path.clone(),
        }
    }

    /// Says whether the database is a file that is not there yet.
    pub fn is_missing_file(&self) -> bool {
        matches!(self, Self::Sqlite(path) if !std::path::Path::new(path).exists())
    }
}

impl PostgresParams {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Sets a parameter unless its value is empty; a later one wins.
    fn set(&mut self, key: &str, value: String) {
        self.0.retain(|(k, _)| k != key);
        if !value.is_empty() {
            self.0.push((key.to_owned(), value));
        }
    }

    fn conninfo(&self) -> String {
        let quoted = |value: &str| value.replace('\\', r"\\").replace('\'', r"\'");
        let pairs: Vec<_> = self.0.iter().map(|(key, value)| format!("{key}='{}'", quoted(value))).collect();
        pairs.join(" ")
    }
}

impl fmt::Display for DatabaseUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:///{path}"),
            Self::Postgres(params) => {
                f.write_str("postgresql://")?;
                if let Some(user) = params.get("user") {
                    let password = if params.get("password").is_some() { ":***" } else { "" };
                    write!(f, "{user}{password}@")?;
                }
                match params.get("host") {
                    Some(host) if host.contains(':') => write!(f, "[{host}]")?,
                    host => f.write_str(host.unwrap_or_default())?,
                }
                if let Some(port) = params.get("port") {
                    write!(f, ":{port}")?;
                }
                write!(f, "/{}", params.get("dbname").unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for DatabaseUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUri({self})")
    }
}

/// The error for a path, a folder or another service.
fn not_a_database(text: &str) -> Error {
    let is_folder = text.starts_with("file:") || !text.contains(':');
    Error::invalid(if is_folder {
        "A folder is not a database: MLflow's file store is not supported. Use sqlite:///path or \
         postgresql://host/name; `mlflow migrate-filestore` turns a file store into an SQLite database."
    } else {
        "The database URI names no database that is supported: use sqlite:///path or postgresql://host/name."
    })
}

/// Reads what follows `sqlite://`: `/relative/path` or `//absolute/path`.
fn parse_sqlite(rest: &str) -> Result<String> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if let Some((key, _)) = form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| !IGNORED_SQLITE_PARAMETERS.contains(&key.as_ref()))
    {
        return Err(Error::invalid(format!("The SQLite parameter {} is not supported.", python::repr(&key))));
    }
    match path.strip_prefix('/') {
        Some("" | ":memory:") => Err(Error::invalid(
            "An SQLite database in memory is not supported: name a file, as in sqlite:///mlflow.db.",
        )),
        None if path.is_empty() || path == ":memory:" => Err(Error::invalid(
            "An SQLite database in memory is not supported: name a file, as in sqlite:///mlflow.db.",
        )),
        None => Err(Error::invalid(
            "An SQLite URI has three slashes before a relative path and four before an absolute one.",
        )),
        Some(path) => decode(path),
    }
}

/// Reads what follows `postgresql://`: `user:password@host:port/database?parameters`.
fn parse_postgres(rest: &str) -> Result<PostgresParams> {
    let mut params = PostgresParams::default();
    let (user, password, rest) = split_credentials(rest);
    params.set("user", decode(user)?);
    params.set("password", decode(password)?);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let is_stray = authority.contains('@') || database.contains('@');
    if is_stray || (!password.is_empty() && has_stray_at(query)) {
        return Err(Error::invalid(STRAY_AT));
    }
    let (host, port) = split_host(authority)?;
    params.set("host", host.to_owned());
    params.set("port", port.to_owned());
    params.set("dbname", decode(database)?);
    apply_query(&mut params, query)?;
    Ok(params)
}

/// Says whether an `@` stands among the parameters where none can be meant, as after a password with `@` and `?`.
fn has_stray_at(query: &str) -> bool {
    let may_have_one = |pair: &&str| {
        pair.split_once('=').is_some_and(|(key, _)| !key.contains('@') && PARAMETERS_WITH_AT.contains(&key))
    };
    query.split('&').filter(|pair| pair.contains('@')).any(|pair| !may_have_one(&pair))
}

/// Splits user and password off. As in SQLAlchemy a user may contain `@`, a password anything else.
fn split_credentials(rest: &str) -> (&str, &str, &str) {
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (head, tail) = rest.split_at(end);
    if let Some((password, rest)) = tail.strip_prefix(':').and_then(|tail| tail.split_once('@')) {
        return (head, password, rest);
    }
    match head.rfind('@') {
        Some(at) => (head.get(..at).unwrap_or_default(), "", rest.get(at + 1..).unwrap_or_default()),
        None => ("", "", rest),
    }
}

/// Splits `host:port` or `[address]:port`.
fn split_host(authority: &str) -> Result<(&str, &str)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| Error::invalid("The database URI has a '[' without its ']'."))?;
            (host, rest.strip_prefix(':').unwrap_or(rest))
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    if port.is_empty() || port.parse::<u16>().is_ok() {
        Ok((host, port))
    } else {
        Err(Error::invalid("The port in the database URI is not a number up to 65535."))
    }
}

/// Adds the parameters after `?`, which win over what stands before it. `host` may be repeated, each with a port.
fn apply_query(params: &mut PostgresParams, query: &str) -> Result<()> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        // The connection string would end there.
        if value.contains('\0') {
            return Err(not_text());
        }
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            return Err(Error::invalid("The database URI has a parameter whose name is not one of libpq's."));
        }
        if key != "host" {
            params.set(&key, value.into_owned());
            continue;
        }
        for host in value.split(',') {
            let split = host.split_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
            let (host, port) = split.unwrap_or((host, ""));
            hosts.push(host.to_owned());
            ports.push(port.to_owned());
        }
    }
    if !hosts.is_empty() {
        params.set("host", hosts.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        params.set("port", ports.join(","));
    }
    Ok(())
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
        _ => Err(not_text()),
    }
}

fn not_text() -> Error {
    Error::invalid("The database URI has a percent-encoded part that is not UTF-8 text.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_uris_become_connection_strings() {
        for (uri, want) in [
            ("postgresql://", ""),
            ("postgresql://h/db", "host='h' dbname='db'"),
            ("postgres://u@h:5433/db", "user='u' host='h' port='5433' dbname='db'"),
            ("postgresql+psycopg2://u:p@h/db", "user='u' password='p' host='h' dbname='db'"),
            ("postgresql+psycopg://u:p%40%2F%3A%25@h/db", "user='u' password='p@/:%' host='h' dbname='db'"),
            ("postgresql://u:a/b?c@h/db", "user='u' password='a/b?c' host='h' dbname='db'"),
            ("postgresql://u%40srv:p@h/d%20b", "user='u@srv' password='p' host='h' dbname='d b'"),
            ("postgresql://u@srv:p@h/db", "user='u@srv' password='p' host='h' dbname='db'"),
            ("postgresql://u:p@h/d%40b", "user='u' password='p' host='h' dbname='d@b'"),
            (
                "postgresql://u:p@h/db?sslcert=/a@b",
                "user='u' password='p' host='h' dbname='db' sslcert='/a@b'",
            ),
            (r"postgresql://u:it's\x@h/db", r"user='u' password='it\'s\\x' host='h' dbname='db'"),
            ("postgresql://u@[::1]:5433/db", "user='u' host='::1' port='5433' dbname='db'"),
            ("postgresql://[fe80::1]/db", "host='fe80::1' dbname='db'"),
            ("postgresql:///db?host=/var/run/postgresql", "dbname='db' host='/var/run/postgresql'"),
            (
                "postgresql://u:p@/db?host=%2Ftmp&port=5433",
                "user='u' password='p' dbname='db' port='5433' host='/tmp'",
            ),
            ("postgresql:///db?host=a:1&host=b:2", "dbname='db' host='a,b' port='1,2'"),
            (
                "postgresql://h/db?sslmode=verify-full&sslrootcert=/a%20b.crt&connect_timeout=3",
                "host='h' dbname='db' sslmode='verify-full' sslrootcert='/a b.crt' connect_timeout='3'",
            ),
            (
                "postgresql://h/db?options=-c%20search_path%3Dx&application_name=a+b",
                "host='h' dbname='db' options='-c search_path=x' application_name='a b'",
            ),
        ] {
            assert_eq!(DatabaseUri::parse(uri).unwrap().conninfo(), want, "{uri}");
        }
    }

    #[test]
    fn sqlite_uris_become_paths() {
        for (uri, want) in [
            ("sqlite:///mlflow.db", "mlflow.db"),
            ("sqlite:///./a/b.db", "./a/b.db"),
            ("sqlite:////var/lib/mlflow.db", "/var/lib/mlflow.db"),
            ("sqlite+pysqlite:////x.db", "/x.db"),
            ("sqlite:///x.db?timeout=5&check_same_thread=false", "x.db"),
            ("sqlite:///file:x.db", "./file:x.db"),
            ("sqlite:////tmp/a%20b.db", "/tmp/a b.db"),
        ] {
            assert_eq!(DatabaseUri::parse(uri).unwrap().conninfo(), want, "{uri}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_in_one_line() {
        for (uri, want) in [
            ("./mlruns", "file store"),
            ("", "file store"),
            ("file:///tmp/mlruns", "file store"),
            ("mysql+pymysql://u:secret@h/db", "not supported"),
            ("mssql://u:secret@h/db", "not supported"),
            ("databricks://profile", "no database"),
            ("https://u:secret@h", "no database"),
            ("sqlite://", "in memory"),
            ("sqlite:///", "in memory"),
            ("sqlite:///:memory:", "in memory"),
            ("sqlite://x.db", "three slashes"),
            ("sqlite:x.db", "'//'"),
            ("sqlite:///x.db?mode=ro", "'mode'"),
            ("sqlite:///x.db?%0a%e2%80%a8=1", "not supported"),
            ("mysql+\n://h", "not supported"),
            ("sqlite+\n:h", "'//'"),
            ("postgresql:h", "'//'"),
            ("postgresql://u:secret@h:x/db", "port"),
            ("postgresql://u:x@secret@h/db", "%40"),
            ("postgresql://u:x@secret@h:5432/db", "%40"),
            ("postgresql://u:x@sec:ret@h/db", "%40"),
            ("postgresql://u:x@secret/x@h/db", "%40"),
            ("postgresql://u:x@secret@[::1]:5/db", "%40"),
            ("postgresql://u/secret:x@h/db", "%40"),
            ("postgresql://u:x@secret?secret=secret@h/db", "%40"),
            ("postgresql://u:x@secret?sec@h/db", "%40"),
            ("postgresql://h/db@secret", "%40"),
            ("postgresql://u:secret@h:70000/db", "port"),
            ("postgresql://u:secret@[::1/db", "']'"),
            ("postgresql://u:secret%00@h/db", "UTF-8"),
            ("postgresql://u@h/db?password=secret%00", "UTF-8"),
            ("postgresql://u@h/db?host=h%00", "UTF-8"),
            ("postgresql://h/db?a'b=1", "parameter"),
        ] {
            let message = DatabaseUri::parse(uri).unwrap_err().message;
            assert!(message.contains(want), "{uri}: {message}");
            assert!(!message.contains("secret") && !message.contains('\n'), "{uri}: {message}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (uri, want) in [
            ("postgresql+psycopg2://u:secret@h:5433/db?sslmode=require", "postgresql://u:***@h:5433/db"),
            ("postgresql://u:secret@[::1]/db", "postgresql://u:***@[::1]/db"),
            ("postgresql://u@h/db?password=secret&sslpassword=secret", "postgresql://u:***@h/db"),
            ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
        ] {
            let parsed = DatabaseUri::parse(uri).unwrap();
            assert_eq!(parsed.to_string(), want);
            assert!(!format!("{parsed:?}").contains("secret"));
        }
    }
}
