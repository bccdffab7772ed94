//! The HTTP client of every store: the usual one, plus region redirects and listings with invalid keys.

use std::sync::Arc;

use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpService, ReqwestConnector,
};

use super::Pending;
use super::lists::{NoListing, is_listing, without_odd_keys};
use super::region::Region;

/// Makes the clients of a store.
#[derive(Debug)]
pub(super) struct Connector {
    /// The region redirect, if any is possible.
    pub(super) region: Option<Arc<Region>>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Client { client, region: self.region.clone() }))
    }
}

#[derive(Debug)]
struct Client {
    client: HttpClient,
    region: Option<Arc<Region>>,
}

impl HttpService for Client {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> Pending<'b, Result<HttpResponse, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        let query = request.uri().query().unwrap_or_default();
        let is_list = query.split('&').any(|pair| matches!(pair, "list-type=2" | "comp=list"));
        Box::pin(async move {
            let response = match &self.region {
                Some(region) => region.send(&self.client, request).await?,
                None => self.client.execute(request).await?,
            };
            if !is_list || !response.status().is_success() {
                return Ok(response);
            }
            let (parts, body) = response.into_parts();
            let text = String::from_utf8(body.bytes().await?.into())
                .map_err(|e| HttpError::new(HttpErrorKind::Decode, e))?;
            if !is_listing(&text) {
                // an empty list would say that nothing is there
                return Err(HttpError::new(HttpErrorKind::Unknown, NoListing));
            }
            Ok(HttpResponse::from_parts(parts, without_odd_keys(text).into()))
        })
    }
}
