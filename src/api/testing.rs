//! The whole API in process, over a store of `store::testing`.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{App, test};

use super::routes;
use super::state::AppState;
use crate::artifacts::{Artifacts, Settings};
use crate::config::Config;
use crate::domain::validate::Limits;
use crate::store::Store;

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
    };
    Data::new(AppState {
        store,
        artifacts: Artifacts::new(&settings).unwrap(),
        limits: Limits::default(),
        metrics: None,
        config: Config::default(),
    })
}
