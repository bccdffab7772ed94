//! Budgets and what was spent of them.

use diesel::prelude::*;
use diesel::sql_types::{Double, Text};

use super::{endpoints as endpoint_store, missing, new_id};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::gateway::budget::{BudgetUpdate, Duration, NewBudget, Target};
use crate::domain::ids::BudgetPolicyId;
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::time::now_ms;
use crate::domain::{Result, validate};
use crate::proto::list_gateway_budget_windows::BudgetWindow;
use crate::proto::{
    BudgetAction, BudgetDuration, BudgetDurationUnit, BudgetTargetScope, BudgetUnit, GatewayBudgetPolicy,
    ListGatewayBudgetPolicies, list_gateway_budget_policies,
};
use crate::store::conn::Conn;
use crate::store::dialect::Dialect;
use crate::store::predicate::Search;
use crate::store::schema::budget_policies as budgets;
use crate::store::{Store, each};

/// The page of a list when nothing is said, and the budgets whose windows are listed.
const DEFAULT_RESULTS: i64 = 100;

impl Store {
    /// Stores a budget. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an endpoint that it is for. Upstream: `create_budget_policy`.
    pub async fn create_budget_policy(&self, new: NewBudget) -> Result<GatewayBudgetPolicy> {
        self.write(move |conn| {
            require_endpoint(conn, &new.target)?;
            let now = now_ms();
            let row = BudgetRow {
                budget_policy_id: new_id("bp"),
                budget_unit: new.unit.as_str_name().to_owned(),
                budget_amount: new.amount,
                duration_unit: new.duration.unit.as_str_name().to_owned(),
                duration_value: new.duration.value,
                target_scope: new.target.scope.as_str_name().to_owned(),
                budget_action: new.action.as_str_name().to_owned(),
                created_by: new.created_by.clone(),
                created_at: now,
                last_updated_by: new.created_by.clone(),
                last_updated_at: now,
                workspace: DEFAULT_WORKSPACE.to_owned(),
                target_value: new.target.value.clone(),
            };
            each!(conn, c => diesel::insert_into(budgets::table).values(&row).execute(c))?;
            Ok(row.into())
        })
        .await
    }

    /// Returns a budget.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `get_budget_policy`.
    pub async fn get_budget_policy(&self, id: BudgetPolicyId) -> Result<GatewayBudgetPolicy> {
        self.read(move |conn| row_in(conn, &id).map(Into::into)).await
    }

    /// Changes a budget. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for it and for an endpoint that it is for; `INVALID_PARAMETER_VALUE` when scope and
    /// target do not fit together. Upstream: `_update_budget_policy`, `update_budget_policy`.
    pub async fn update_budget_policy(&self, update: BudgetUpdate) -> Result<GatewayBudgetPolicy> {
        self.write(move |conn| {
            let old = row_in(conn, &update.budget_policy_id)?;
            let target = update.target(old.target())?;
            if let Some(target) = target.as_ref().filter(|_| update.target_value.is_some()) {
                require_endpoint(conn, target)?;
            }
            let changes = BudgetChanges {
                budget_unit: update.unit.map(|unit| unit.as_str_name()),
                budget_amount: update.amount,
                duration_unit: update.duration.map(|d| d.unit.as_str_name()),
                duration_value: update.duration.map(|d| d.value),
                target_scope: target.as_ref().map(|target| target.scope.as_str_name()),
                budget_action: update.action.map(|action| action.as_str_name()),
                target_value: target.as_ref().map(|target| target.value.clone()),
                last_updated_by: update.updated_by.as_deref(),
                last_updated_at: now_ms(),
            };
            let budget = budgets::table.find(&update.budget_policy_id);
            each!(conn, c => diesel::update(budget).set(&changes).execute(c))?;
            row_in(conn, &update.budget_policy_id).map(Into::into)
        })
        .await
    }

    /// Deletes a budget.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `delete_budget_policy`.
    pub async fn delete_budget_policy(&self, id: BudgetPolicyId) -> Result<()> {
        self.write(move |conn| {
            row_in(conn, &id)?;
            each!(conn, c => diesel::delete(budgets::table.find(id.as_str())).execute(c))?;
            Ok(())
        })
        .await
    }

    /// Returns a page of budgets in the order of their ids.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad size or token. Upstream: `list_budget_policies`.
    pub async fn list_budget_policies(
        &self,
        request: ListGatewayBudgetPolicies,
    ) -> Result<list_gateway_budget_policies::Response> {
        let size = page_size(request.max_results())?;
        let offset = parse_offset_token(request.page_token.as_deref())?;
        self.read(move |conn| {
            let mut rows = page(conn, size + 1, offset)?;
            let limit = usize::try_from(size).unwrap_or(usize::MAX);
            let next_page_token = (rows.len() > limit).then(|| offset_token(offset.saturating_add(size)));
            rows.truncate(limit);
            let budget_policies = rows.into_iter().map(Into::into).collect();
            Ok(list_gateway_budget_policies::Response { budget_policies, next_page_token })
        })
        .await
    }

    /// Returns what was spent of the first hundred budgets in the windows that they are in now. Two statements.
    ///
    /// Upstream: `_list_budget_windows`, `sum_gateway_trace_cost`. Differs: stock counts anew every ten minutes.
    pub async fn list_budget_windows(&self) -> Result<Vec<BudgetWindow>> {
        self.read(move |conn| {
            let now = now_ms();
            let rows = page(conn, DEFAULT_RESULTS, 0)?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let statement = spent(conn.dialect(), &rows, now);
            let spent: Vec<(String, f64)> = each!(conn, c => statement.load(c))?;
            let of = |id: &str| spent.iter().find(|(of, _)| of == id).map_or(0.0, |(_, sum)| *sum);
            Ok(rows
                .into_iter()
                .map(|row| {
                    let (start, end) = row.duration().window(now);
                    BudgetWindow {
                        window_start_ms: Some(start),
                        window_end_ms: Some(end),
                        current_spend: Some(of(&row.budget_policy_id)),
                        budget_policy_id: Some(row.budget_policy_id),
                    }
                })
                .collect())
        })
        .await
    }
}

/// A row of `budget_policies`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = budgets, treat_none_as_default_value = false)]
struct BudgetRow {
    budget_policy_id: String,
    budget_unit: String,
    budget_amount: f64,
    duration_unit: String,
    duration_value: i32,
    target_scope: String,
    budget_action: String,
    created_by: Option<String>,
    created_at: i64,
    last_updated_by: Option<String>,
    last_updated_at: i64,
    workspace: String,
    target_value: Option<String>,
}

#[derive(AsChangeset)]
#[diesel(table_name = budgets)]
#[expect(clippy::option_option, reason = "to be made NULL is not to be left alone")]
struct BudgetChanges<'a> {
    budget_unit: Option<&'a str>,
    budget_amount: Option<f64>,
    duration_unit: Option<&'a str>,
    duration_value: Option<i32>,
    target_scope: Option<&'a str>,
    budget_action: Option<&'a str>,
    target_value: Option<Option<String>>,
    last_updated_by: Option<&'a str>,
    last_updated_at: i64,
}

impl BudgetRow {
    fn duration(&self) -> Duration {
        let unit = BudgetDurationUnit::from_str_name(&self.duration_unit).unwrap_or(BudgetDurationUnit::Days);
        Duration { unit, value: self.duration_value.max(1) }
    }

    fn target(&self) -> Target {
        let scope = BudgetTargetScope::from_str_name(&self.target_scope).unwrap_or(BudgetTargetScope::Global);
        Target { scope, value: self.target_value.clone() }
    }
}

impl From<BudgetRow> for GatewayBudgetPolicy {
    fn from(row: BudgetRow) -> Self {
        let duration = row.duration();
        Self {
            budget_policy_id: Some(row.budget_policy_id),
            budget_unit: BudgetUnit::from_str_name(&row.budget_unit).map(i32::from),
            budget_amount: Some(row.budget_amount),
            duration: Some(BudgetDuration {
                unit: Some(duration.unit.into()),
                value: Some(row.duration_value),
            }),
            target_scope: BudgetTargetScope::from_str_name(&row.target_scope).map(i32::from),
            budget_action: BudgetAction::from_str_name(&row.budget_action).map(i32::from),
            created_by: Some(row.created_by.unwrap_or_default()),
            created_at: Some(row.created_at),
            last_updated_by: Some(row.last_updated_by.unwrap_or_default()),
            last_updated_at: Some(row.last_updated_at),
            target_value: row.target_value,
        }
    }
}

/// None given, or 0, is the default.
pub(super) fn page_size(max_results: i64) -> Result<i64> {
    validate::max_results(if max_results == 0 { DEFAULT_RESULTS } else { max_results })
}

fn require_endpoint(conn: &mut Conn, target: &Target) -> Result<()> {
    let id = target.value.as_deref().filter(|_| target.scope == BudgetTargetScope::Endpoint);
    id.map_or(Ok(()), |id| endpoint_store::row_in(conn, id, "GatewayEndpoint").map(drop))
}

fn row_in(conn: &mut Conn, id: &str) -> Result<BudgetRow> {
    let found: Option<BudgetRow> = each!(conn, c => budgets::table
        .find(id)
        .filter(budgets::workspace.eq(DEFAULT_WORKSPACE))
        .select(BudgetRow::as_select())
        .first(c)
        .optional())?;
    found.ok_or_else(|| missing("BudgetPolicy", &[("budget_policy_id", id)]))
}

fn page(conn: &mut Conn, limit: i64, offset: i64) -> Result<Vec<BudgetRow>> {
    Ok(each!(conn, c => budgets::table
        .filter(budgets::workspace.eq(DEFAULT_WORKSPACE))
        .order(budgets::budget_policy_id)
        .limit(limit)
        .offset(offset)
        .select(BudgetRow::as_select())
        .load(c))?)
}

/// One sum for each budget: what the traces of the gateway cost in its window. Traces are found by their time and
/// their key in `trace_request_metadata`.
fn spent(dialect: Dialect, rows: &[BudgetRow], now: i64) -> Search<(Text, Double)> {
    let mut statement = Search::new(dialect);
    for (i, row) in rows.iter().enumerate() {
        let (start, end) = row.duration().window(now);
        statement
            .sql(if i == 0 { "SELECT CAST(" } else { " UNION ALL SELECT CAST(" })
            .text(&row.budget_policy_id)
            .sql(
                " AS TEXT), COALESCE(SUM(t.total_cost), 0.0) FROM trace_info t JOIN trace_request_metadata m \
                 ON m.request_id = t.request_id AND m.key = 'mlflow.gateway.endpointId' WHERE t.timestamp_ms >= ",
            )
            .bigint(start)
            .sql(" AND t.timestamp_ms < ")
            .bigint(end);
        let target = row.target();
        match (target.scope, &target.value) {
            (BudgetTargetScope::Endpoint, Some(id)) => {
                statement.sql(" AND m.value = ").text(id);
            }
            (BudgetTargetScope::User, Some(name)) => {
                statement
                    .sql(
                        " AND EXISTS (SELECT 1 FROM trace_request_metadata u WHERE u.request_id = t.request_id \
                         AND u.key = 'mlflow.auth.username' AND u.value = ",
                    )
                    .text(name)
                    .sql(")");
            }
            _ => {}
        }
    }
    statement
}
