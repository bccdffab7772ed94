//! Which database, read from an SQLAlchemy-style URI.

use super::dialect::Dialect;
use crate::domain::{Error, Result};

/// A parsed database URI.
#[derive(Clone)]
pub enum DatabaseUri {
    /// A libpq connection string.
    Postgres(String),
    /// A path.
    Sqlite(String),
}

impl DatabaseUri {
    /// Parses `sqlite:///path` and `postgresql://…`.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("sqlite:///") {
            return Ok(Self::Sqlite(path.to_owned()));
        }
        if let Some((scheme, rest)) = text.split_once("://")
            && (scheme.starts_with("postgresql") || scheme == "postgres")
        {
            return Ok(Self::Postgres(format!("postgresql://{rest}")));
        }
        Err(Error::invalid("unknown kind of database URI"))
    }

    /// Returns which database it names.
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Returns what diesel connects with.
    pub fn conninfo(&self) -> String {
        match self {
            Self::Postgres(s) | Self::Sqlite(s) => s.clone(),
        }
    }
}
