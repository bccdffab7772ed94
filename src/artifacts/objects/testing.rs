//! An in-memory object store, for tests.

use std::sync::Arc;

use object_store::HeaderMap;
use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;

use super::{Kind, Objects, Uploads};

/// Makes an empty bucket.
pub(in crate::artifacts) fn in_memory() -> Arc<Objects> {
    let store = Arc::new(InMemory::new());
    // signs for a bucket that does not exist
    let signer = AmazonS3Builder::new()
        .with_bucket_name("memory")
        .with_access_key_id("key")
        .with_secret_access_key("secret");
    Arc::new(Objects {
        kind: Kind::S3,
        name: "memory://".to_owned(),
        store: store.clone(),
        writer: store.clone(),
        multipart: store.clone(),
        multipart_writer: store,
        signer: Arc::new(signer.build().unwrap()),
        upload_headers: HeaderMap::new(),
        uploads: Uploads::new(),
    })
}
