//! Issues, and how many traces each was found in: an assessment of a trace is named after the issue.

#[cfg(test)]
mod tests;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use uuid::Uuid;

use super::conn::Conn;
use super::error::is_foreign_key_violation;
use super::experiments::active_experiment_id;
use super::predicate::{Column, Search};
use super::schema::issues;
use super::stored_json::read_json_if_any;
use super::{Store, each};
use crate::domain::ids::{ExperimentId, IssueId};
use crate::domain::issue::{IssueUpdate, NewIssue, SEVERITIES};
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::time::now_ms;
use crate::domain::{Error, ErrorCode, Result, python, validate};
use crate::proto::{Issue, SearchIssues, search_issues};
use crate::search::issues::{IssueColumn, IssuePredicate};
use crate::store::dialect::Dialect;

/// How many issues a page has where nothing is asked.
const DEFAULT_PAGE: i32 = 100;

impl Store {
    /// Stores an issue. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an experiment that is unknown or deleted, `BAD_REQUEST` for an unknown run.
    /// Upstream: `SqlAlchemyStore.create_issue`.
    pub async fn create_issue(&self, new: NewIssue) -> Result<Issue> {
        self.write(move |conn| create_in(conn, &new)).await
    }

    /// Returns an issue.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_issue(&self, id: IssueId) -> Result<Issue> {
        self.read(move |conn| get_row(conn, &id)?.into_message()).await
    }

    /// Changes an issue, which is marked as changed in any case. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn update_issue(&self, id: IssueId, update: IssueUpdate) -> Result<Issue> {
        self.write(move |conn| {
            let changes = IssueChanges {
                status: update.status.as_deref(),
                name: update.name.as_deref(),
                description: update.description.as_deref(),
                severity: update.severity.as_deref(),
                last_updated_timestamp: now_ms(),
            };
            each!(conn, c => diesel::update(issues::table.find(id.as_str())).set(&changes).execute(c))?;
            get_row(conn, &id)?.into_message()
        })
        .await
    }

    /// Returns a page of issues, the worst first, and the token of the next page if there is one. One statement.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad filter, limit or page token. Upstream: `SqlAlchemyStore.search_issues`.
    pub async fn search_issues(&self, r: SearchIssues) -> Result<search_issues::Response> {
        let limit = validate::max_results(r.max_results.unwrap_or(DEFAULT_PAGE).into())?;
        let offset = parse_offset_token(r.page_token.as_deref())?;
        let given = r.experiment_id.as_deref().filter(|id| !id.is_empty());
        let experiment = given.map(ExperimentId::parse).transpose()?.map(|id| id.number());
        let predicates = crate::search::issues::parse(r.filter_string())?;
        let counts_traces = r.include_trace_count();
        self.scan(move |conn| {
            let statement =
                search_statement(conn.dialect(), experiment, &predicates, counts_traces, limit, offset);
            let mut rows: Vec<(IssueRow, i64)> = each!(conn, c => statement.load(c))?;
            let size = usize::try_from(limit).unwrap_or(usize::MAX);
            let token =
                if rows.len() > size { offset_token(offset.saturating_add(limit)) } else { String::new() };
            rows.truncate(size);
            let message = |(row, traces): (IssueRow, i64)| {
                let mut issue = row.into_message()?;
                issue.trace_count = counts_traces.then(|| i32::try_from(traces).unwrap_or(i32::MAX));
                Ok(issue)
            };
            let issues = rows.into_iter().map(message).collect::<Result<_>>()?;
            Ok(search_issues::Response { issues, next_page_token: Some(token) })
        })
        .await
    }
}

/// A row of `issues`.
#[derive(Queryable, Selectable, Insertable, Debug)]
#[diesel(table_name = issues, treat_none_as_default_value = false)]
struct IssueRow {
    issue_id: String,
    experiment_id: i32,
    name: String,
    description: String,
    status: String,
    severity: Option<String>,
    root_causes: Option<String>,
    source_run_id: Option<String>,
    categories: Option<String>,
    created_timestamp: i64,
    last_updated_timestamp: i64,
    created_by: Option<String>,
}

/// The SQL type of an [`IssueRow`].
type IssueColumns = (
    Text,
    Integer,
    Text,
    Text,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    BigInt,
    BigInt,
    Nullable<Text>,
);

#[derive(AsChangeset)]
#[diesel(table_name = issues)]
struct IssueChanges<'a> {
    status: Option<&'a str>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    severity: Option<&'a str>,
    last_updated_timestamp: i64,
}

impl IssueRow {
    fn into_message(self) -> Result<Issue> {
        let id = self.issue_id.as_str();
        let root_causes = read_json_if_any(self.root_causes.as_deref(), "issues.root_causes", id)?;
        let categories = read_json_if_any(self.categories.as_deref(), "issues.categories", id)?;
        Ok(Issue {
            issue_id: Some(self.issue_id),
            experiment_id: Some(self.experiment_id.to_string()),
            name: Some(self.name),
            description: Some(self.description),
            status: Some(self.status),
            severity: self.severity,
            root_causes: root_causes.unwrap_or_default(),
            source_run_id: self.source_run_id,
            created_timestamp: Some(self.created_timestamp),
            last_updated_timestamp: Some(self.last_updated_timestamp),
            created_by: self.created_by,
            categories: categories.unwrap_or_default(),
            trace_count: None,
        })
    }
}

/// Writes a list as JSON; nothing for an empty one.
fn json_list(texts: &[String]) -> Option<String> {
    let texts: Vec<String> = texts.iter().map(|text| python::json_string(text)).collect();
    (!texts.is_empty()).then(|| format!("[{}]", texts.join(", ")))
}

fn get_row(conn: &mut Conn, id: &str) -> Result<IssueRow> {
    let row = each!(conn, c => issues::table.find(id).select(IssueRow::as_select()).first(c).optional())?;
    row.ok_or_else(|| Error::not_found(format!("Issue with ID '{id}' not found")))
}

fn create_in(conn: &mut Conn, new: &NewIssue) -> Result<Issue> {
    let now = now_ms();
    let row = IssueRow {
        issue_id: format!("iss-{}", Uuid::new_v4().simple()),
        experiment_id: active_experiment_id(conn, &new.experiment_id)?,
        name: new.name.clone(),
        description: new.description.clone(),
        status: new.status.clone(),
        severity: new.severity.clone(),
        root_causes: json_list(&new.root_causes),
        source_run_id: new.source_run_id.clone(),
        categories: json_list(&new.categories),
        created_timestamp: now,
        last_updated_timestamp: now,
        created_by: new.created_by.clone(),
    };
    each!(conn, c => diesel::insert_into(issues::table).values(&row).execute(c)).map_err(|e| {
        if is_foreign_key_violation(&e) {
            // Stock answers the same code with the database's own words.
            let run = new.source_run_id.as_deref().unwrap_or_default();
            let message = format!("Run '{run}', which found the issue, does not exist.");
            return Error::new(ErrorCode::BadRequest, message).with_source(e);
        }
        e.into()
    })?;
    row.into_message()
}

/// The counts are taken once for all issues, over the index of the kinds of assessments.
fn search_statement(
    dialect: Dialect,
    experiment: Option<i32>,
    predicates: &[IssuePredicate],
    counts_traces: bool,
    limit: i64,
    offset: i64,
) -> Search<(IssueColumns, BigInt)> {
    let mut search = Search::new(dialect);
    search.sql(
        "SELECT i.issue_id, i.experiment_id, i.name, i.description, i.status, i.severity, i.root_causes, ",
    );
    search
        .sql("i.source_run_id, i.categories, i.created_timestamp, i.last_updated_timestamp, i.created_by, ");
    search.sql(if counts_traces { "coalesce(t.found, 0)" } else { "CAST(0 AS BIGINT)" });
    search.sql(" FROM issues i");
    if counts_traces {
        search.sql(" LEFT JOIN (SELECT a.name, count(DISTINCT a.trace_id) AS found FROM assessments a ");
        search.sql("WHERE a.assessment_type = 'issue' GROUP BY a.name) t ON t.name = i.issue_id");
    }
    search.sql(" WHERE 1 = 1");
    if let Some(experiment) = experiment {
        search.sql(" AND i.experiment_id = ").integer(experiment);
    }
    for predicate in predicates {
        let column = match predicate.column {
            IssueColumn::Status => "i.status",
            IssueColumn::SourceRun => "i.source_run_id",
        };
        search.sql(" AND ").text_test(Column::Of(column), &predicate.test);
    }
    search.sql(" ORDER BY CASE i.severity");
    for (rank, severity) in (0..).zip(SEVERITIES) {
        search.sql(" WHEN ").text(severity).sql(" THEN ").integer(rank);
    }
    search.sql(" ELSE -1 END DESC, ");
    if counts_traces {
        search.sql("coalesce(t.found, 0) DESC, ");
    }
    search.sql("i.created_timestamp DESC, i.issue_id DESC");
    search.page(limit + 1, offset);
    search
}
