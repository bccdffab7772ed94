//! Histories on both databases.

use serde_json::{Value, json};

use super::samples::regular_samples;
use super::*;
use crate::domain::sampling::sampled_places;
use crate::store::testing::on_each_database;

/// Step, timestamp and value of a point; `None` is NaN.
type Row = (i64, i64, Option<f64>);

fn row(point: &Point) -> Row {
    (point.step, point.timestamp, Some(point.value()).filter(|v| !v.is_nan()))
}

fn rows(points: &[Point]) -> Vec<Row> {
    points.iter().map(row).collect()
}

/// NaN is stored as a zero with a mark, so it comes right after zero.
fn sort_key(row: &Row) -> (i64, i64, u64, bool) {
    let value = row.2.unwrap_or(0.0);
    assert!(value >= 0.0, "the bits of positive numbers are ordered as they are");
    (row.0, row.1, value.to_bits(), row.2.is_none())
}

async fn log(store: &Store, rows: &[Row]) -> String {
    let experiment = store.make_experiment(json!({ "name": uuid::Uuid::new_v4().to_string() })).await;
    let metric = |(step, timestamp, value): &Row| {
        let value = value.map_or(json!("NaN"), Value::from);
        json!({ "key": "m", "value": value, "timestamp": timestamp, "step": step })
    };
    let metrics: Vec<Value> = rows.iter().map(metric).collect();
    let mut batches = metrics.chunks(1000);
    let first = json!({ "metrics": batches.next().unwrap_or_default() });
    let run = store.make_run(json!({ "experiment_id": experiment }), first).await;
    for batch in batches {
        let request = crate::store::testing::message(json!({ "run_id": run, "metrics": batch }));
        let batch =
            crate::domain::run::NewBatch::from_batch(request, crate::domain::validate::LongValues::default())
                .unwrap();
        store.log(batch).await.unwrap();
    }
    run
}

/// What stock returns: the sampled places of all rows in their order.
fn model(mut rows: Vec<Row>, (first, last): (i64, i64), max: usize) -> Vec<Row> {
    rows.retain(|row| (first..=last).contains(&row.0));
    rows.sort_by_key(sort_key);
    sampled_places(rows.len(), max).into_iter().filter_map(|place| rows.get(place).copied()).collect()
}

/// A run of 700 points whose steps come from `step`, with timestamps against the order and a few NaN.
fn course(step: impl Fn(i64) -> i64) -> Vec<Row> {
    (0..700).map(|i| (step(i), 5000 - i, (i % 31 != 0).then(|| f64::from((i % 97) as i32)))).collect()
}

#[test]
fn samples_are_those_of_the_whole_history() {
    on_each_database(|store| async move {
        let courses = [
            course(|i| i),
            course(|i| i * 37 - 9000),
            course(|i| i / 3),
            course(|_| 0),
            course(|i| if i % 50 == 0 { i - 1 } else { i }),
            course(|i| (i * 7919) % 701 + (1 << 53)),
            Vec::new(),
        ];
        let mut runs = Vec::new();
        for rows in &courses {
            runs.push(log(&store, rows).await);
        }
        for max_points in [1, 2, 10, 320, 699, 700, 2500] {
            for steps in [(i64::MIN, i64::MAX), (-50, 200), (1 << 53, i64::MAX), (3, 2)] {
                let query = SampleQuery { key: "m".into(), steps, max_points };
                let histories = store.sample_metric_history(runs.clone(), query).await.unwrap();
                for ((history, run), course) in histories.iter().zip(&runs).zip(&courses) {
                    assert_eq!(&history.run_id, run);
                    let want = model(course.clone(), steps, max_points);
                    assert_eq!(rows(&history.points), want, "{max_points} of {steps:?}");
                }
            }
        }
    });
}

#[test]
fn long_histories_are_sampled_as_the_whole_is() {
    on_each_database(|store| async move {
        let long = |step: fn(i64) -> i64| (0..2000).map(|i| (step(i), i, Some(0.5))).collect::<Vec<Row>>();
        let courses = [
            long(|i| i),
            long(|i| i * 10 - 500),
            // Twice at every step, in the middle only, a gap, and points between those of the grid.
            long(|i| i / 2),
            long(|i| if i < 1000 { i } else { i - 200 }),
            long(|i| if i < 1000 { i } else { i + 300 }),
            long(|i| if i < 1000 { i * 10 } else { 10_000 + (i - 1000) * 5 }),
        ];
        let mut runs = Vec::new();
        for rows in &courses {
            runs.push(log(&store, rows).await);
        }
        let query = SampleQuery { key: "m".into(), steps: (i64::MIN, i64::MAX), max_points: 100 };
        let histories = store.sample_metric_history(runs.clone(), query.clone()).await.unwrap();
        for (history, course) in histories.iter().zip(&courses) {
            assert_eq!(rows(&history.points), model(course.clone(), query.steps, 100));
        }
        let regular = store.read(move |conn| {
            let ids: Vec<&str> = runs.iter().map(String::as_str).collect();
            let samples = regular_samples(conn, &ids, &query)?;
            Ok(ids.iter().map(|id| samples.contains_key(id)).collect::<Vec<_>>())
        });
        assert_eq!(regular.await.unwrap(), [true, true, false, false, false, false]);
    });
}

#[test]
fn samples_follow_the_order_of_the_runs_asked_for() {
    on_each_database(|store| async move {
        let (one, two) = (log(&store, &course(|i| i)).await, log(&store, &[(0, 1, None)]).await);
        let query = SampleQuery { key: "m".into(), steps: (i64::MIN, i64::MAX), max_points: 2 };
        let asked = vec![two.clone(), one.clone(), "unknown".into(), two.clone()];
        let histories = store.sample_metric_history(asked.clone(), query).await.unwrap();
        let ids: Vec<&String> = histories.iter().map(|h| &h.run_id).collect();
        assert_eq!(ids, asked.iter().collect::<Vec<_>>());
        let sizes: Vec<usize> = histories.iter().map(|h| h.points.len()).collect();
        assert_eq!(sizes, [1, 2, 0, 1]);
    });
}

#[test]
fn pages_add_up_to_the_history() {
    on_each_database(|store| async move {
        let course = course(|i| i);
        let run = log(&store, &course).await;
        let whole = store.get_metric_history(run.clone().into(), "m".into(), None, 0).await.unwrap();
        let mut want = course;
        want.sort_by_key(|row| (row.1, sort_key(row)));
        assert_eq!(rows(&whole.points), want);
        assert_eq!(whole.next_page_token, None);
        let (mut pages, mut offset) = (Vec::new(), 0);
        loop {
            let page =
                store.get_metric_history(run.clone().into(), "m".into(), Some(100), offset).await.unwrap();
            pages.extend(page.points);
            let Some(token) = page.next_page_token else { break };
            offset = offset_of(&token);
        }
        assert_eq!((pages, offset), (whole.points, 600));
    });
}

fn offset_of(token: &str) -> usize {
    usize::try_from(crate::domain::page::parse_offset_token(Some(token)).unwrap()).unwrap()
}

#[test]
fn later_pages_of_a_long_history_were_read_with_the_first() {
    on_each_database(|store| async move {
        let course: Vec<Row> = (0..16_000).map(|i| (i, i, Some(0.5))).collect();
        let (run, other) = (log(&store, &course).await, log(&store, &course).await);
        let page = |run: &str, limit, offset| {
            store.get_metric_history(run.into(), "m".to_owned(), Some(limit), offset)
        };
        let first = page(&run, 10_000, 0).await.unwrap();
        assert_eq!(rows(&first.points), course[..10_000]);
        let small = page(&other, 100, 0).await.unwrap();
        assert_eq!(rows(&small.points), course[..100]);
        store.execute("DELETE FROM metrics".into()).await;
        let second = page(&run, 4_000, offset_of(&first.next_page_token.unwrap())).await.unwrap();
        assert_eq!(rows(&second.points), course[10_000..14_000]);
        let last = page(&run, 4_000, offset_of(&second.next_page_token.unwrap())).await.unwrap();
        assert_eq!((rows(&last.points), last.next_page_token), (course[14_000..].to_vec(), None));
        // What was given whole, and what began with a small page, is asked of the database.
        for (run, offset) in [(&run, 10_000), (&other, 100)] {
            assert_eq!(page(run, 4_000, offset).await.unwrap().points, []);
        }
    });
}

#[test]
fn histories_of_several_runs_come_by_run_and_are_limited_together() {
    on_each_database(|store| async move {
        let mut runs = vec![log(&store, &course(|i| i)).await, log(&store, &course(|i| i)).await];
        runs.push(runs[0].clone());
        let ids = runs.iter().cloned().map(Into::into).collect();
        let histories = store.get_metric_history_bulk(ids, "m".into(), 1000).await.unwrap();
        let found: Vec<(String, usize)> = histories.into_iter().map(|h| (h.run_id, h.points.len())).collect();
        runs.pop();
        runs.sort_unstable();
        assert_eq!(found, [(runs[0].clone(), 700), (runs[1].clone(), 300)]);
    });
}

#[derive(QueryableByName)]
struct PlanRow {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[test]
fn sqlite_goes_by_run_and_key() {
    on_each_database(|store| async move {
        let plans = store.read(|conn| {
            let Conn::Sqlite(c) = conn else { return Ok(None) };
            let plan = diesel::sql_query(format!("EXPLAIN QUERY PLAN {SQLITE_HISTORY}"))
                .bind::<Text, _>("r")
                .bind::<Text, _>("m")
                .bind::<BigInt, _>(1)
                .bind::<BigInt, _>(0)
                .load::<PlanRow>(c)?;
            Ok(Some(plan))
        });
        if let Some(plan) = plans.await.unwrap() {
            let first = &plan[0].detail;
            assert!(first.contains("index_metrics_run_uuid_key_step (run_uuid=? AND key=?)"), "{first}");
        }
    });
}
