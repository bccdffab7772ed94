//! Label schemas: the questions of reviewers.

use crate::api::extract::Check::{Between, Int, Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::{ExperimentId, LabelSchemaId};
use crate::domain::label_schema::{LabelSchemaUpdate, NewLabelSchema};
use crate::domain::validate::MAX_SEARCH_RESULTS;
use crate::proto::{
    CreateLabelSchema, DeleteLabelSchema, GetLabelSchema, GetLabelSchemaByName, ListLabelSchemas,
    UpdateLabelSchema, create_label_schema, delete_label_schema, get_label_schema, get_label_schema_by_name,
    list_label_schemas, update_label_schema,
};

impl Request for CreateLabelSchema {
    const SCHEMA: Schema = &[("experiment_id", &[Required, Str]), ("name", &[Required, Str])];
}

impl Request for GetLabelSchema {
    const SCHEMA: Schema = &[("schema_id", &[Required, Str])];
}

impl Request for GetLabelSchemaByName {
    const SCHEMA: Schema = &[("experiment_id", &[Required, Str]), ("name", &[Required, Str])];
}

impl Request for ListLabelSchemas {
    const SCHEMA: Schema =
        &[("experiment_id", &[Required, Str]), ("max_results", &[Int, Between(1, MAX_SEARCH_RESULTS)])];
}

impl Request for UpdateLabelSchema {
    const SCHEMA: Schema = &[("schema_id", &[Required, Str])];
}

impl Request for DeleteLabelSchema {
    const SCHEMA: Schema = &[("schema_id", &[Required, Str])];
}

/// `POST label-schemas/create`. Upstream: `_create_label_schema`.
pub async fn create_label_schema(
    app: App,
    Proto(mut r): Proto<CreateLabelSchema>,
) -> Reply<create_label_schema::Response> {
    let experiment = r.experiment_id.take().unwrap_or_default();
    let new = NewLabelSchema::try_from(r)?;
    let schema = app.store.create_label_schema(ExperimentId::parse(&experiment)?, new).await?;
    reply::json(create_label_schema::Response { label_schema: Some(schema) })
}

/// `GET label-schemas/get`. Upstream: `_get_label_schema`.
pub async fn get_label_schema(
    app: App,
    Proto(r): Proto<GetLabelSchema>,
) -> Reply<get_label_schema::Response> {
    let schema = app.store.get_label_schema(LabelSchemaId::from(r.schema_id)).await?;
    reply::json(get_label_schema::Response { label_schema: Some(schema) })
}

/// `GET label-schemas/get-by-name`. Upstream: `_get_label_schema_by_name`.
pub async fn get_label_schema_by_name(
    app: App,
    Proto(r): Proto<GetLabelSchemaByName>,
) -> Reply<get_label_schema_by_name::Response> {
    let (experiment, name) = (ExperimentId::parse(r.experiment_id())?, r.name.unwrap_or_default());
    let schema = app.store.get_label_schema_by_name(experiment, name).await?;
    reply::json(get_label_schema_by_name::Response { label_schema: Some(schema) })
}

/// `GET label-schemas/list`. Upstream: `_list_label_schemas`.
pub async fn list_label_schemas(
    app: App,
    Proto(r): Proto<ListLabelSchemas>,
) -> Reply<list_label_schemas::Response> {
    reply::json(app.store.list_label_schemas(r).await?)
}

/// `PATCH label-schemas/update`. Upstream: `_update_label_schema`.
pub async fn update_label_schema(
    app: App,
    Proto(mut r): Proto<UpdateLabelSchema>,
) -> Reply<update_label_schema::Response> {
    let id = LabelSchemaId::from(r.schema_id.take());
    let schema = app.store.update_label_schema(id, LabelSchemaUpdate::try_from(r)?).await?;
    reply::json(update_label_schema::Response { label_schema: Some(schema) })
}

/// `DELETE label-schemas/delete`. Upstream: `_delete_label_schema`.
pub async fn delete_label_schema(
    app: App,
    Proto(r): Proto<DeleteLabelSchema>,
) -> Reply<delete_label_schema::Response> {
    app.store.delete_label_schema(LabelSchemaId::from(r.schema_id)).await?;
    reply::empty()
}
