//! The DSL of the route table: [`at`] a path, these methods. A path that is asked with another method answers
//! 405 with the methods it has.

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::http::header::HeaderValue;
use actix_web::{FromRequest, Handler, HttpRequest, Resource, Responder, web};

use super::fallback;

/// One path of the table with its methods.
pub(super) struct At {
    resource: Resource,
    methods: Vec<&'static str>,
}

/// Begins a line of the table.
pub(super) fn at(path: &str) -> At {
    At { resource: web::resource(path), methods: vec!["OPTIONS"] }
}

macro_rules! methods {
    ($($method:ident $names:expr;)+) => {
        $(
            /// Adds the method with its handler.
            pub(super) fn $method<F, Args>(mut self, handler: F) -> Self
            where
                F: Handler<Args>,
                Args: FromRequest + 'static,
                F::Output: Responder + 'static,
            {
                self.methods.extend($names);
                self.resource = self.resource.route(web::$method().to(handler));
                self
            }
        )+
    };
}

impl At {
    methods! {
        // The middleware turns HEAD into GET.
        get ["GET", "HEAD"];
        post ["POST"];
        put ["PUT"];
        patch ["PATCH"];
        delete ["DELETE"];
    }
}

impl HttpServiceFactory for At {
    fn register(self, config: &mut AppService) {
        let allow = HeaderValue::try_from(self.methods.join(", ")).ok();
        let other = move |request: HttpRequest| {
            let response = fallback::other_method(&request, allow.clone());
            async { response }
        };
        self.resource.default_service(web::to(other)).register(config);
    }
}
