//! Traces, but for their searches; and a search over scorers in a database that holds none.

use actix_web::web::Path;

use crate::api::extract::Check::{Array, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::validate;
use crate::proto::{
    BatchGetTraceInfos, ListScorers, Trace, batch_get_trace_infos, get_trace_info_v3, list_scorers,
};
use crate::store::unserved::Unserved;

impl Request for BatchGetTraceInfos {
    const SCHEMA: Schema =
        &[("trace_ids", &[Array, Required, Strings]), ("experiment_ids", &[Array, Strings])];
}

impl Request for ListScorers {
    const SCHEMA: Schema = &[("experiment_id", &[Str]), ("experiment_ids", &[Array, Strings])];
}

/// `GET 3.0 traces/{trace_id}`. Upstream: `_get_trace_info_v3`.
pub async fn get_trace_info(app: App, id: Path<String>) -> Reply<get_trace_info_v3::Response> {
    let info = app.store.get_trace_info(id.into_inner()).await?;
    reply::json(get_trace_info_v3::Response { trace: Some(Trace { trace_info: Some(info) }) })
}

/// `POST traces/batchGetInfos`. Upstream: `_batch_get_trace_infos`.
pub async fn batch_get_trace_infos(
    app: App,
    Proto(r): Proto<BatchGetTraceInfos>,
) -> Reply<batch_get_trace_infos::Response> {
    let experiments = (!r.experiment_ids.is_empty())
        .then(|| r.experiment_ids.iter().map(|id| validate::experiment_id(id)).collect())
        .transpose()?;
    let trace_infos = app.store.get_trace_infos(r.trace_ids, experiments).await?;
    reply::json(batch_get_trace_infos::Response { trace_infos })
}

/// `GET scorers/list`. Upstream: `_list_scorers`.
pub async fn list_scorers(app: App, Proto(r): Proto<ListScorers>) -> Reply<list_scorers::Response> {
    if !r.experiment_id().is_empty() {
        app.store.get_experiment(r.experiment_id().to_owned()).await?;
    }
    app.store.require_none(Unserved::Scorers).await?;
    reply::empty()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use crate::api::testing::{send, state};
    use crate::store::testing::on_each_database;

    #[test]
    fn scorers_are_looked_for_in_an_experiment() {
        on_each_database(|store| async move {
            store.ensure_default_experiment().await.unwrap();
            let state = state(store);
            for (query, status) in [("experiment_id=0", 200), ("experiment_id=99", 404)] {
                let uri = format!("/ajax-api/3.0/mlflow/scorers/list?{query}");
                let (got, text) = send(&state, TestRequest::get().uri(&uri)).await;
                assert_eq!(got.as_u16(), status, "{text}");
            }
        });
    }
}
