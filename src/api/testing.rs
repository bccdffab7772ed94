//! The whole API in process, over a store of `store::testing`.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{App, test};

use super::memory::{Budget, Heavy};
use super::routes;
use super::state::AppState;
use crate::artifacts::{Artifacts, Settings};
use crate::config::Config;
use crate::domain::validate::Limits;
use crate::store::Store;
use crate::webhooks::Webhooks;

/// Sends `request` to the API and returns the status and the body of the answer.
pub(crate) async fn send(state: &Data<AppState>, request: test::TestRequest) -> (StatusCode, String) {
    let app =
        test::init_service(App::new().app_data(state.clone()).configure(|r| routes(&state.config, r))).await;
    let answer = test::call_service(&app, request.to_request()).await;
    let status = answer.status();
    let body = test::read_body(answer).await;
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Puts a server's state around `store`.
pub(crate) fn state(store: Store) -> Data<AppState> {
    let settings = Settings {
        destination: "/nowhere".into(),
        default_root: "/nowhere".into(),
        serve: false,
        allowed_schemes: Vec::new(),
        environment: crate::config::Environment::default(),
    };
    state_with(store, Artifacts::new(&settings).unwrap())
}

/// Puts a server's state around `store` and `artifacts`.
pub(crate) fn state_with(store: Store, artifacts: Artifacts) -> Data<AppState> {
    let (store, config) = (Arc::new(store), Config::default());
    let webhooks = Webhooks::new(Arc::clone(&store), config.webhooks.clone()).unwrap();
    let (webhooks, limits) = (Arc::new(webhooks), Limits::default());
    let (budget, heavy) = (Budget::new(config.memory_limit_bytes), Heavy::default());
    let prices = Arc::default();
    Data::new(AppState { store, webhooks, artifacts, limits, prices, metrics: None, budget, heavy, config })
}
