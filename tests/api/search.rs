//! Searching runs, also while others write.

use actix_web::http::Method;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::harness::{Api, on_each_database};

async fn ids(api: &Api, query: Value) -> Vec<String> {
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let mut body = query.clone();
        if let Some(token) = token {
            body["page_token"] = token;
        }
        let page = api.post("runs/search", body).await;
        let runs = page["runs"].as_array().cloned().unwrap_or_default();
        found.extend(runs.iter().map(|run| run["info"]["run_id"].as_str().unwrap().to_owned()));
        match page.get("next_page_token") {
            Some(next) => token = Some(next.clone()),
            None => return found,
        }
    }
}

#[test]
fn pages_reach_the_end_while_runs_are_added() {
    on_each_database(|api| async move {
        let id = api.experiment("paged").await;
        let mut made = Vec::new();
        for start in 0..40 {
            made.push(api.run(&id, start).await);
        }
        // The new ones are older than all others, so that no page moves.
        let adding = async {
            for start in 1..=20 {
                api.run(&id, -start).await;
            }
        };
        let (found, ()) = join(ids(&api, json!({ "experiment_ids": [id], "max_results": 7 })), adding).await;
        made.reverse();
        assert_eq!(found[..40], made);
        let unique: std::collections::HashSet<_> = found.iter().collect();
        assert_eq!(unique.len(), found.len());
    });
}

#[test]
fn filters_and_orders() {
    on_each_database(|api| async move {
        let id = api.experiment("filtered").await;
        let mut runs = Vec::new();
        for (start, (loss, depth)) in [("0.1", "2"), ("NaN", "2"), ("0.3", "3")].into_iter().enumerate() {
            let run = api.run(&id, i64::try_from(start).unwrap()).await;
            let metric = json!({ "key": "val loss", "value": loss, "timestamp": 1, "step": 0 });
            let batch =
                json!({ "run_id": run, "metrics": [metric], "params": [{ "key": "depth", "value": depth }] });
            api.post("runs/log-batch", batch).await;
            runs.push(run);
        }
        for (filter, order, want) in [
            ("", "metrics.`val loss` DESC", vec![2, 0, 1]),
            ("", "metrics.`val loss` ASC", vec![0, 2, 1]),
            ("metrics.\"val loss\" < 0.2", "", vec![0]),
            ("params.depth IN ('2')", "", vec![]),
            ("params.depth = '2'", "start_time ASC", vec![0, 1]),
            ("params.depth ILIKE '%3' AND attributes.status = 'RUNNING'", "", vec![2]),
            ("tags.nothing IS NULL", "created", vec![0, 1, 2]),
        ] {
            let order_by: Vec<&str> = if order.is_empty() { vec![] } else { vec![order] };
            let query = json!({ "experiment_ids": [id], "filter": filter, "order_by": order_by });
            if filter.contains("IN (") {
                let refused = api.call(Method::POST, "runs/search", query).await;
                assert_eq!(
                    (refused.status.as_u16(), refused.code().as_str()),
                    (400, "INVALID_PARAMETER_VALUE")
                );
                continue;
            }
            let want: Vec<_> = want.into_iter().map(|at: usize| runs[at].clone()).collect();
            assert_eq!(ids(&api, query).await, want, "{filter} {order}");
        }
    });
}
