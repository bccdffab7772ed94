//! What a database that stock has filled may hold and this server cannot show yet. A search over such things answers
//! that there are none only where that is so.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::statement::statement;
use super::{Store, each};
use crate::domain::{Error, ErrorCode, Result};

/// Things that this server does not serve yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unserved {
    /// Scorers.
    Scorers,
}

impl Unserved {
    const fn query(self) -> &'static str {
        match self {
            Self::Scorers => "SELECT count(*) FROM (SELECT 1 FROM scorers LIMIT 1) found",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Scorers => "scorers",
        }
    }
}

impl Store {
    /// Checks that the database holds nothing of a kind.
    ///
    /// # Errors
    /// `NOT_IMPLEMENTED` when it does.
    pub async fn require_none(&self, kind: Unserved) -> Result<()> {
        let found: i64 = self
            .read(move |conn| Ok(each!(conn, c => statement::<BigInt>(kind.query(), &[]).get_result(c))?))
            .await?;
        if found == 0 {
            return Ok(());
        }
        let name = kind.name();
        Err(Error::new(
            ErrorCode::NotImplemented,
            format!("This database holds {name}, which this server does not serve yet."),
        ))
    }
}
