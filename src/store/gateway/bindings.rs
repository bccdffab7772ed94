//! Bindings: what uses which endpoint.

use diesel::prelude::*;

use super::{endpoints as endpoint_store, missing, unless_bad_key};
use crate::domain::Result;
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::gateway::{check_resource_type, given};
use crate::domain::time::now_ms;
use crate::proto::{
    CreateGatewayEndpointBinding, DeleteGatewayEndpointBinding, GatewayEndpointBinding,
    ListGatewayEndpointBindings,
};
use crate::store::schema::{endpoint_bindings as bindings, endpoints};
use crate::store::{Store, each};

impl Store {
    /// Binds an endpoint to something. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the endpoint, `BAD_REQUEST` for a binding that exists. Upstream:
    /// `create_endpoint_binding`.
    pub async fn create_endpoint_binding(
        &self,
        new: CreateGatewayEndpointBinding,
    ) -> Result<GatewayEndpointBinding> {
        check_resource_type(new.resource_type())?;
        self.write(move |conn| {
            endpoint_store::row_in(conn, new.endpoint_id(), "GatewayEndpoint")?;
            let (now, created_by) = (now_ms(), given(new.created_by.clone()));
            let row = BindingRow {
                endpoint_id: new.endpoint_id().to_owned(),
                resource_type: new.resource_type().to_owned(),
                resource_id: new.resource_id().to_owned(),
                created_at: now,
                created_by: created_by.clone(),
                last_updated_at: now,
                last_updated_by: created_by,
                display_name: None,
            };
            each!(conn, c => diesel::insert_into(bindings::table).values(&row).execute(c))
                .map_err(|e| unless_bad_key(e, || "The endpoint has that binding already.".into()))?;
            Ok(row.into())
        })
        .await
    }

    /// Ends a binding.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `delete_endpoint_binding`.
    pub async fn delete_endpoint_binding(&self, binding: DeleteGatewayEndpointBinding) -> Result<()> {
        self.write(move |conn| {
            let key = (binding.endpoint_id(), binding.resource_type(), binding.resource_id());
            let changed = each!(conn, c => diesel::delete(bindings::table.find(key)).execute(c))?;
            if changed > 0 {
                return Ok(());
            }
            let keys = [("endpoint_id", key.0), ("resource_type", key.1), ("resource_id", key.2)];
            Err(missing("GatewayEndpointBinding", &keys))
        })
        .await
    }

    /// Lists all bindings, or those of an endpoint, a kind of thing or a thing.
    ///
    /// Upstream: `list_endpoint_bindings`.
    pub async fn list_endpoint_bindings(
        &self,
        request: ListGatewayEndpointBindings,
    ) -> Result<Vec<GatewayEndpointBinding>> {
        self.read(move |conn| {
            let (endpoint, kind, id) =
                (request.endpoint_id(), request.resource_type(), request.resource_id());
            let rows: Vec<BindingRow> = each!(conn, c => {
                let mut some = bindings::table
                    .inner_join(endpoints::table.on(bindings::endpoint_id.eq(endpoints::endpoint_id)))
                    .filter(endpoints::workspace.eq(DEFAULT_WORKSPACE))
                    .order((
                        bindings::created_at,
                        bindings::endpoint_id,
                        bindings::resource_type,
                        bindings::resource_id,
                    ))
                    .select(BindingRow::as_select())
                    .into_boxed();
                if !endpoint.is_empty() {
                    some = some.filter(bindings::endpoint_id.eq(endpoint));
                }
                if !kind.is_empty() {
                    some = some.filter(bindings::resource_type.eq(kind));
                }
                if !id.is_empty() {
                    some = some.filter(bindings::resource_id.eq(id));
                }
                some.load(c)
            })?;
            Ok(rows.into_iter().map(Into::into).collect())
        })
        .await
    }
}

/// A row of `endpoint_bindings`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = bindings, treat_none_as_default_value = false)]
struct BindingRow {
    endpoint_id: String,
    resource_type: String,
    resource_id: String,
    created_at: i64,
    created_by: Option<String>,
    last_updated_at: i64,
    last_updated_by: Option<String>,
    display_name: Option<String>,
}

impl From<BindingRow> for GatewayEndpointBinding {
    fn from(row: BindingRow) -> Self {
        Self {
            endpoint_id: Some(row.endpoint_id),
            resource_type: Some(row.resource_type),
            resource_id: Some(row.resource_id),
            created_at: Some(row.created_at),
            last_updated_at: Some(row.last_updated_at),
            created_by: row.created_by,
            last_updated_by: row.last_updated_by,
            display_name: row.display_name,
        }
    }
}
