//! What the two databases say differently, both texts side by side. Nothing outside this file matches on
//! [`Dialect`].

use super::conn::{Access, ConnSettings};

/// How much PostgreSQL may sort or hash in memory before it goes to disk: a history of 100,000 points takes 11 MB. A
/// server that is set up for more keeps that.
const SORTED_IN_MEMORY: i64 = 32 << 20;

/// Which database is behind a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL 12 or newer.
    Postgres,
    /// SQLite, the version that is compiled in.
    Sqlite,
}

/// How PostgreSQL is to plan. Parallel plans make the metric filters of searches two to four times slower. A plan that is
/// estimated too dear is compiled (JIT), which takes longer than any of our statements should. A table that was small
/// when a statement was planned is read whole by it ever after, also when it has become large: every table that grows
/// has an index for every hot statement, and this setting leaves no other way to go.
const PLANNED: [(&str, &str); 3] =
    [("max_parallel_workers_per_gather", "0"), ("jit", "off"), ("enable_seqscan", "off")];

/// The same for what logs. Planning the statement that logs a metric takes PostgreSQL as long as executing it, and it
/// would plan it for each length of the lists anew; the plans are the same.
const PLANNED_ONCE: [(&str, &str); 4] =
    [PLANNED[0], PLANNED[1], PLANNED[2], ("plan_cache_mode", "force_generic_plan")];

/// Pages of 4 KiB that SQLite collects beside the database before it moves them there. A page is moved once, however often
/// it was written meanwhile, and each move waits for the disk twice. More pages make the one write that moves them
/// slower: with this many (12 MiB), 15 times as slow as the median.
const WAL_PAGES: u32 = 3000;

impl Dialect {
    /// Returns what our statements want PostgreSQL to be set to. `work_mem` is what the server has, in bytes.
    pub(super) fn postgres_settings(
        access: Access,
        settings: &ConnSettings,
        work_mem: i64,
    ) -> Vec<(&'static str, String)> {
        let mut values = vec![
            ("statement_timeout", settings.statement_timeout_ms.to_string()),
            // A transaction whose connection was lost without a word keeps its locks no longer than a statement may run.
            ("idle_in_transaction_session_timeout", settings.statement_timeout_ms.to_string()),
        ];
        if work_mem < SORTED_IN_MEMORY {
            values.push(("work_mem", format!("'{}kB'", SORTED_IN_MEMORY >> 10)));
        }
        values
            .extend(Self::planner_settings(access).iter().map(|(name, value)| (*name, (*value).to_owned())));
        values
    }

    /// Returns the settings, by name and value, under which the statements of a connection to PostgreSQL are planned.
    const fn planner_settings(access: Access) -> &'static [(&'static str, &'static str)] {
        match access {
            Access::Log => &PLANNED_ONCE,
            Access::Read | Access::Write => &PLANNED,
        }
    }

    /// Returns the statements that set up a fresh connection to SQLite.
    pub(super) fn sqlite_setup(access: Access, settings: &ConnSettings) -> String {
        format!(
            "PRAGMA busy_timeout = {}; PRAGMA synchronous = {}; \
             PRAGMA wal_autocheckpoint = {WAL_PAGES}; \
             PRAGMA foreign_keys = ON; PRAGMA case_sensitive_like = ON; PRAGMA temp_store = MEMORY; \
             PRAGMA query_only = {}",
            settings.busy_timeout_ms,
            if settings.sqlite_full_sync { "FULL" } else { "NORMAL" },
            if access == Access::Read { "ON" } else { "OFF" },
        )
    }

    /// Returns what stands before the column, between it and the pattern, and behind the pattern of a LIKE that does
    /// not mind the case of letters. On SQLite, where LIKE was made to mind it, that is so for ASCII only, as on stock.
    pub(super) const fn ilike(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Postgres => ("", " ILIKE ", ""),
            Self::Sqlite => ("lower(", ") LIKE lower(", ")"),
        }
    }

    /// Returns what stands before the column, between it and a text, and behind that, to ask whether a long text holds
    /// it; `None` where nothing is faster than a LIKE.
    pub(super) const fn holds(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::Postgres => Some(("strpos(", ", ", ") > 0")),
            Self::Sqlite => None,
        }
    }

    /// The same for a text in small ASCII letters, where the case of letters does not matter. ILIKE of PostgreSQL looks
    /// up every letter in its locale, which takes more than twice as long; what it alone finds is the sign of Kelvin
    /// for a k, and a capital i with its dot for an i.
    pub(super) const fn holds_any_case(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::Postgres => Some(("strpos(lower(", " COLLATE \"C\"), ", ") > 0")),
            Self::Sqlite => None,
        }
    }

    /// Returns how the row `s` of `spans` is told to be of the experiment of its trace `t`. The sum keeps SQLite from
    /// the indexes that begin with the experiment, through which it would read all spans of a type for every trace;
    /// it would keep PostgreSQL from knowing how many spans to expect.
    pub(super) const fn same_experiment(self) -> &'static str {
        match self {
            Self::Postgres => "s.experiment_id = t.experiment_id",
            Self::Sqlite => "s.experiment_id + 0 = t.experiment_id",
        }
    }

    /// Returns what keeps a look-up for every row from becoming a join: PostgreSQL cannot guess how many texts match,
    /// guesses none, and then reads a whole table where a page is full after a few rows.
    pub(super) const fn no_join(self) -> &'static str {
        match self {
            Self::Postgres => " OFFSET 0",
            Self::Sqlite => "",
        }
    }

    /// Returns what stands before a JSON list of texts and behind it, to read it as the table `k` with the column `id`.
    pub(super) const fn listed(self) -> (&'static str, &'static str) {
        match self {
            Self::Postgres => ("json_array_elements_text((", ")::json) k (id)"),
            Self::Sqlite => ("(SELECT value AS id FROM json_each(", ")) k"),
        }
    }

    /// Returns what stands before a column that an index of ours begins to hold, behind it, and behind the text it is
    /// compared with. PostgreSQL cannot index long texts.
    pub(super) const fn beginning(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::Postgres => Some(("left(", ", 64) = left(", ", 64) AND ")),
            Self::Sqlite => None,
        }
    }

    /// Returns the condition that an assessment `a` is of a whole session, as the index of these has it.
    pub(super) const fn of_session(self) -> &'static str {
        match self {
            Self::Postgres => "strpos(a.assessment_metadata, '\"mlflow.trace.session\":') > 0",
            Self::Sqlite => "instr(a.assessment_metadata, '\"mlflow.trace.session\":') > 0",
        }
    }

    /// Tells whether a column holds only so many characters as its type says.
    pub(super) const fn minds_length(self) -> bool {
        matches!(self, Self::Postgres)
    }

    /// Tells whether a subquery can read what stands before it (LATERAL).
    pub(super) const fn has_lateral(self) -> bool {
        matches!(self, Self::Postgres)
    }

    /// Returns what stands before a condition that few rows pass, and behind it. SQLite, which keeps no statistics, would
    /// begin with a range of metrics.
    pub(super) const fn rare(self) -> (&'static str, &'static str) {
        match self {
            Self::Postgres => ("", ""),
            Self::Sqlite => ("unlikely(", ")"),
        }
    }

    /// Returns the operator of regular expressions.
    pub(super) const fn regex(self) -> &'static str {
        match self {
            Self::Postgres => " ~ ",
            // A function of ours.
            Self::Sqlite => " REGEXP ",
        }
    }

    /// Returns what stands before a percentage, behind it, and behind the column whose percentile is meant.
    pub(super) const fn percentile(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Postgres => ("percentile_cont(", " / 100) WITHIN GROUP (ORDER BY ", ")"),
            // A function of ours.
            Self::Sqlite => ("percentile_of(", ", ", ")"),
        }
    }

    /// Returns the expression of the database's own time, in milliseconds since the Unix epoch.
    pub(super) const fn now_ms(self) -> &'static str {
        match self {
            Self::Postgres => "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        }
    }

    /// Returns the statements that open a transaction in which nobody else migrates.
    pub(super) const fn begin_migration(self) -> &'static str {
        match self {
            // The number means nothing; it is the same for every server on this database.
            Self::Postgres => "BEGIN; SELECT pg_advisory_xact_lock(7021823004181317)",
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// Returns the query of the names of the tables that unqualified names reach.
    pub(super) const fn table_names(self) -> &'static str {
        match self {
            Self::Postgres => {
                "SELECT relname::text AS name FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p') \
                 AND pg_table_is_visible(oid) AND relnamespace <> 'pg_catalog'::regnamespace"
            }
            Self::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        }
    }

    /// Returns the one of two texts that is for this database.
    pub(super) const fn pick<'a>(self, postgres: &'a str, sqlite: &'a str) -> &'a str {
        match self {
            Self::Postgres => postgres,
            Self::Sqlite => sqlite,
        }
    }
}
