//! Records of datasets of evaluations. Writers of one dataset come one after the other, by the lock of its row, so that
//! records of the same inputs become one, also when several servers take them at once.

use std::collections::HashMap;

use diesel::QueryResult;
use diesel::prelude::*;
use uuid::Uuid;

use super::{ROWS_PER_STATEMENT, lock};
use crate::domain::evaluation_dataset::digest;
use crate::domain::evaluation_dataset::records::{
    GivenRecord, PageStart, Record, extend_schema, profile, profile_count,
};
use crate::domain::ids::EvaluationDatasetId;
use crate::domain::time::now_ms;
use crate::domain::{Error, ErrorCode, Result};
use crate::store::conn::Conn;
use crate::store::schema::{evaluation_dataset_records, evaluation_datasets};
use crate::store::statement::{Bind, statement};
use crate::store::{Store, each};

impl Store {
    /// Adds records to a dataset, or merges them into those with the same inputs; returns how many were added and how
    /// many were merged. One transaction.
    ///
    /// # Errors
    /// `BAD_REQUEST` for an unknown dataset, if there are records. Upstream: `SqlAlchemyStore.upsert_dataset_records`.
    pub async fn upsert_dataset_records(
        &self,
        id: EvaluationDatasetId,
        records: Vec<GivenRecord>,
    ) -> Result<(i32, i32)> {
        self.write(move |conn| upsert_in(conn, &id, &records)).await
    }

    /// Returns a page of the records of a dataset, the oldest first, and the token of the next page if there is one.
    /// None for an unknown dataset.
    ///
    /// Upstream: `SqlAlchemyStore._load_dataset_records`.
    pub async fn get_dataset_records(
        &self,
        id: EvaluationDatasetId,
        size: i64,
        start: PageStart,
    ) -> Result<(Vec<Record>, Option<String>)> {
        self.scan(move |conn| {
            let mut rows = load_page(conn, &id, size, &start)?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let has_more = rows.len() > size;
            rows.truncate(size);
            let records: Vec<Record> = rows.into_iter().map(RecordRow::into_record).collect();
            let token = records.last().filter(|_| has_more).map(PageStart::token);
            Ok((records, token))
        })
        .await
    }

    /// Deletes those of the records that are in the dataset, and returns how many that were. One transaction.
    ///
    /// Upstream: `SqlAlchemyStore.delete_dataset_records`, which leaves a profile of `null` behind the last one.
    pub async fn delete_dataset_records(
        &self,
        id: EvaluationDatasetId,
        record_ids: Vec<String>,
    ) -> Result<i32> {
        self.write(move |conn| {
            let dataset = lock(conn, &id)?;
            let mut deleted = 0;
            for chunk in record_ids.chunks(ROWS_PER_STATEMENT) {
                deleted += each!(conn, c => diesel::delete(evaluation_dataset_records::table)
                    .filter(evaluation_dataset_records::dataset_id.eq(id.as_str()))
                    .filter(evaluation_dataset_records::dataset_record_id.eq_any(chunk))
                    .execute(c))?;
            }
            if let Some(dataset) = dataset.filter(|_| deleted > 0) {
                let left = profile_count(dataset.profile.as_deref()) - i64::try_from(deleted).unwrap_or(0);
                let new = profile(left).unwrap_or_else(|| "null".into());
                each!(conn, c => diesel::update(evaluation_datasets::table.find(id.as_str()))
                    .set(evaluation_datasets::profile.eq(&new))
                    .execute(c))?;
            }
            Ok(i32::try_from(deleted).unwrap_or(i32::MAX))
        })
        .await
    }
}

/// A row of `evaluation_dataset_records`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = evaluation_dataset_records)]
struct RecordRow {
    dataset_record_id: String,
    inputs: String,
    outputs: Option<String>,
    expectations: Option<String>,
    tags: Option<String>,
    source: Option<String>,
    source_id: Option<String>,
    source_type: Option<String>,
    created_time: Option<i64>,
    last_update_time: Option<i64>,
    created_by: Option<String>,
    last_updated_by: Option<String>,
    input_hash: String,
}

impl RecordRow {
    fn into_record(self) -> Record {
        let json = |text: Option<String>| text.unwrap_or_else(|| "null".into());
        Record {
            dataset_record_id: self.dataset_record_id,
            inputs: self.inputs,
            outputs: json(self.outputs),
            expectations: json(self.expectations),
            tags: json(self.tags),
            source: json(self.source),
            source_id: self.source_id,
            source_type: self.source_type,
            created_time: self.created_time.unwrap_or_default(),
            last_update_time: self.last_update_time.unwrap_or_default(),
            created_by: self.created_by,
            last_updated_by: self.last_updated_by,
            input_hash: self.input_hash,
        }
    }
}

fn load_page(conn: &mut Conn, id: &str, size: i64, start: &PageStart) -> Result<Vec<RecordRow>> {
    use evaluation_dataset_records::{created_time, dataset_id, dataset_record_id, table};
    let (time, after, offset) = match start {
        PageStart::After(time, after) => (*time, after.as_str(), 0),
        PageStart::Offset(offset) => (i64::MIN, "", *offset),
    };
    let is_behind = created_time.gt(time).or(created_time.eq(time).and(dataset_record_id.gt(after)));
    Ok(each!(conn, c => table
        .filter(dataset_id.eq(id).and(is_behind))
        .order((created_time, dataset_record_id))
        .limit(size.saturating_add(1))
        .offset(offset)
        .select(RecordRow::as_select())
        .load(c))?)
}

fn upsert_in(conn: &mut Conn, id: &str, given: &[GivenRecord]) -> Result<(i32, i32)> {
    let Some(dataset) = lock(conn, id)? else {
        if given.is_empty() {
            return Ok((0, 0));
        }
        // Stock answers the same code with the database's own words.
        return Err(Error::new(
            ErrorCode::BadRequest,
            format!("Evaluation dataset with id '{id}' not found"),
        ));
    };
    let now = now_ms();
    let (records, added) = merged(conn, id, given, now)?;
    write_records(conn, id, &records)?;
    let count: i64 = each!(conn, c => evaluation_dataset_records::table
        .filter(evaluation_dataset_records::dataset_id.eq(id))
        .count()
        .get_result(c))?;
    let new = (
        evaluation_datasets::last_update_time.eq(now),
        evaluation_datasets::last_updated_by.eq(given.iter().rev().find_map(GivenRecord::user)),
        evaluation_datasets::digest.eq(digest(&dataset.name, now)),
        evaluation_datasets::schema.eq(extend_schema(dataset.schema.as_deref(), given)),
        evaluation_datasets::profile.eq(profile(count).or(dataset.profile)),
    );
    each!(conn, c => diesel::update(evaluation_datasets::table.find(id)).set(new).execute(c))?;
    let size = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    Ok((size(added), size(given.len() - added)))
}

/// Returns the records as they are to be stored, in the order of their first appearance, and how many are new. A record
/// may be given more than once.
fn merged(conn: &mut Conn, id: &str, given: &[GivenRecord], now: i64) -> Result<(Vec<Record>, usize)> {
    let mut stored = stored_records(conn, id, given)?;
    let mut records: Vec<Record> = Vec::with_capacity(given.len());
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(given.len());
    let mut added = 0;
    for new in given {
        if let Some(record) = places.get(new.input_hash.as_str()).and_then(|place| records.get_mut(*place)) {
            record.merge(new, now);
            continue;
        }
        places.insert(&new.input_hash, records.len());
        records.push(if let Some(mut record) = stored.remove(&new.input_hash) {
            record.merge(new, now);
            record
        } else {
            added += 1;
            new.clone().into_new(format!("dr-{}", Uuid::new_v4().simple()), now)
        });
    }
    Ok((records, added))
}

/// Returns the stored records with the inputs of those that are given, by the hash of the inputs.
fn stored_records(conn: &mut Conn, id: &str, given: &[GivenRecord]) -> Result<HashMap<String, Record>> {
    let hashes: Vec<&str> = given.iter().map(|record| record.input_hash.as_str()).collect();
    let mut stored = HashMap::with_capacity(hashes.len());
    for chunk in hashes.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<RecordRow> = each!(conn, c => evaluation_dataset_records::table
            .filter(evaluation_dataset_records::dataset_id.eq(id))
            .filter(evaluation_dataset_records::input_hash.eq_any(chunk))
            .select(RecordRow::as_select())
            .load(c))?;
        stored.extend(rows.into_iter().map(|row| (row.input_hash.clone(), row.into_record())));
    }
    Ok(stored)
}

/// Writes records over those with the same inputs. An empty text stands for what a record does not have.
fn write_records(conn: &mut Conn, id: &str, records: &[Record]) -> QueryResult<()> {
    fn or_empty(text: Option<&String>) -> &str {
        text.map_or("", String::as_str)
    }
    if records.is_empty() {
        return Ok(());
    }
    match conn {
        Conn::Pg(c) => {
            macro_rules! column {
                ($record:ident => $value:expr) => {
                    records.iter().map(|$record| $value).collect::<Vec<_>>()
                };
            }
            let record_id = column!(r => r.dataset_record_id.as_str());
            let inputs = column!(r => r.inputs.as_str());
            let outputs = column!(r => r.outputs.as_str());
            let expectations = column!(r => r.expectations.as_str());
            let tags = column!(r => r.tags.as_str());
            let source = column!(r => r.source.as_str());
            let source_id = column!(r => or_empty(r.source_id.as_ref()));
            let source_type = column!(r => or_empty(r.source_type.as_ref()));
            let created = column!(r => r.created_time);
            let updated = column!(r => r.last_update_time);
            let created_by = column!(r => or_empty(r.created_by.as_ref()));
            let updated_by = column!(r => or_empty(r.last_updated_by.as_ref()));
            let hash = column!(r => r.input_hash.as_str());
            let binds = [
                Bind::Text(id),
                Bind::Texts(&record_id),
                Bind::Texts(&inputs),
                Bind::Texts(&outputs),
                Bind::Texts(&expectations),
                Bind::Texts(&tags),
                Bind::Texts(&source),
                Bind::Texts(&source_id),
                Bind::Texts(&source_type),
                Bind::BigInts(&created),
                Bind::BigInts(&updated),
                Bind::Texts(&created_by),
                Bind::Texts(&updated_by),
                Bind::Texts(&hash),
            ];
            statement::<()>(PG_WRITE, &binds).execute(c)?;
        }
        Conn::Sqlite(c) => {
            for r in records {
                let binds = [
                    Bind::Text(id),
                    Bind::Text(&r.dataset_record_id),
                    Bind::Text(&r.inputs),
                    Bind::Text(&r.outputs),
                    Bind::Text(&r.expectations),
                    Bind::Text(&r.tags),
                    Bind::Text(&r.source),
                    Bind::Text(or_empty(r.source_id.as_ref())),
                    Bind::Text(or_empty(r.source_type.as_ref())),
                    Bind::BigInt(r.created_time),
                    Bind::BigInt(r.last_update_time),
                    Bind::Text(or_empty(r.created_by.as_ref())),
                    Bind::Text(or_empty(r.last_updated_by.as_ref())),
                    Bind::Text(&r.input_hash),
                ];
                statement::<()>(SQLITE_WRITE, &binds).execute(c)?;
            }
        }
    }
    Ok(())
}

const PG_WRITE: &str = "\
INSERT INTO evaluation_dataset_records (dataset_id, dataset_record_id, inputs, outputs, expectations, tags, source, \
  source_id, source_type, created_time, last_update_time, created_by, last_updated_by, input_hash)
SELECT ?, n.id, n.inputs::json, n.outputs::json, n.expectations::json, n.tags::json, n.source::json, \
  nullif(n.source_id, ''), nullif(n.source_type, ''), n.created, n.updated, nullif(n.created_by, ''), \
  nullif(n.updated_by, ''), n.hash
FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) AS n (id, inputs, outputs, expectations, tags, source, \
  source_id, source_type, created, updated, created_by, updated_by, hash)
ON CONFLICT (dataset_id, input_hash) DO UPDATE SET outputs = excluded.outputs, \
  expectations = excluded.expectations, tags = excluded.tags, last_update_time = excluded.last_update_time, \
  last_updated_by = excluded.last_updated_by";

const SQLITE_WRITE: &str = "\
INSERT INTO evaluation_dataset_records (dataset_id, dataset_record_id, inputs, outputs, expectations, tags, source, \
  source_id, source_type, created_time, last_update_time, created_by, last_updated_by, input_hash)
VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, ''), nullif(?, ''), ?, ?, nullif(?, ''), nullif(?, ''), ?)
ON CONFLICT DO UPDATE SET outputs = excluded.outputs, expectations = excluded.expectations, tags = excluded.tags, \
  last_update_time = excluded.last_update_time, last_updated_by = excluded.last_updated_by";
