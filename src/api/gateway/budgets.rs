//! Budgets and what was spent of them.

use crate::api::extract::Check::{Int, Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::gateway::budget::{BudgetUpdate, NewBudget};
use crate::domain::ids::BudgetPolicyId;
use crate::proto::{
    CreateGatewayBudgetPolicy, DeleteGatewayBudgetPolicy, GetGatewayBudgetPolicy, ListGatewayBudgetPolicies,
    UpdateGatewayBudgetPolicy, create_gateway_budget_policy, delete_gateway_budget_policy,
    get_gateway_budget_policy, list_gateway_budget_policies, list_gateway_budget_windows,
    update_gateway_budget_policy,
};

impl Request for CreateGatewayBudgetPolicy {
    const SCHEMA: Schema = &[
        ("budget_unit", &[Required]),
        ("budget_amount", &[Required]),
        ("duration", &[Required]),
        ("target_scope", &[Required]),
        ("budget_action", &[Required]),
        ("created_by", &[Str]),
        ("target_value", &[Str]),
    ];
}

impl Request for GetGatewayBudgetPolicy {
    const SCHEMA: Schema = &[("budget_policy_id", &[Required, Str])];
}

impl Request for UpdateGatewayBudgetPolicy {
    const SCHEMA: Schema =
        &[("budget_policy_id", &[Required, Str]), ("updated_by", &[Str]), ("target_value", &[Str])];
}

impl Request for DeleteGatewayBudgetPolicy {
    const SCHEMA: Schema = &[("budget_policy_id", &[Required, Str])];
}

impl Request for ListGatewayBudgetPolicies {
    const SCHEMA: Schema = &[("max_results", &[Int]), ("page_token", &[Str])];
}

/// `POST gateway/budgets/create`. Upstream: `_create_budget_policy`.
pub async fn create_budget_policy(
    app: App,
    Proto(r): Proto<CreateGatewayBudgetPolicy>,
) -> Reply<create_gateway_budget_policy::Response> {
    let policy = app.store.create_budget_policy(NewBudget::try_from(r)?).await?;
    reply::json(create_gateway_budget_policy::Response { budget_policy: Some(policy) })
}

/// `GET gateway/budgets/get`. Upstream: `_get_budget_policy`.
pub async fn get_budget_policy(
    app: App,
    Proto(r): Proto<GetGatewayBudgetPolicy>,
) -> Reply<get_gateway_budget_policy::Response> {
    let policy = app.store.get_budget_policy(BudgetPolicyId::from(r.budget_policy_id)).await?;
    reply::json(get_gateway_budget_policy::Response { budget_policy: Some(policy) })
}

/// `POST gateway/budgets/update`. Upstream: `_update_budget_policy`.
pub async fn update_budget_policy(
    app: App,
    Proto(r): Proto<UpdateGatewayBudgetPolicy>,
) -> Reply<update_gateway_budget_policy::Response> {
    let policy = app.store.update_budget_policy(BudgetUpdate::try_from(r)?).await?;
    reply::json(update_gateway_budget_policy::Response { budget_policy: Some(policy) })
}

/// `DELETE gateway/budgets/delete`. Upstream: `_delete_budget_policy`.
pub async fn delete_budget_policy(
    app: App,
    Proto(r): Proto<DeleteGatewayBudgetPolicy>,
) -> Reply<delete_gateway_budget_policy::Response> {
    app.store.delete_budget_policy(BudgetPolicyId::from(r.budget_policy_id)).await?;
    reply::empty()
}

/// `GET gateway/budgets/list`. Upstream: `_list_budget_policies`.
pub async fn list_budget_policies(
    app: App,
    Proto(r): Proto<ListGatewayBudgetPolicies>,
) -> Reply<list_gateway_budget_policies::Response> {
    reply::json(app.store.list_budget_policies(r).await?)
}

/// `GET gateway/budgets/windows`. Upstream: `_list_budget_windows`.
pub async fn list_budget_windows(app: App) -> Reply<list_gateway_budget_windows::Response> {
    reply::json(list_gateway_budget_windows::Response { windows: app.store.list_budget_windows().await? })
}
