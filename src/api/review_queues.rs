//! Review queues and what is in them.

use crate::api::extract::Check::{Between, Int, Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::{ExperimentId, ReviewQueueId};
use crate::domain::review_queue::{NewReviewQueue, NewStatus, normalize_item_ids};
use crate::domain::validate::MAX_SEARCH_RESULTS;
use crate::proto::{
    AddItemsToReviewQueue, CreateReviewQueue, DeleteReviewQueue, GetOrCreateUserQueue, GetReviewQueue,
    GetReviewQueueByName, ListReviewQueueItems, ListReviewQueues, RemoveItemsFromReviewQueue,
    SetReviewQueueItemStatus, UpdateReviewQueue, add_items_to_review_queue, create_review_queue,
    delete_review_queue, get_or_create_user_queue, get_review_queue, get_review_queue_by_name,
    list_review_queue_items, list_review_queues, remove_items_from_review_queue,
    set_review_queue_item_status, update_review_queue,
};

/// For requests with a queue id and no other checks.
const ONE_QUEUE: Schema = &[("queue_id", &[Required, Str])];

impl Request for CreateReviewQueue {
    const SCHEMA: Schema = &[("experiment_id", &[Required, Str]), ("name", &[Required, Str])];
}

impl Request for GetOrCreateUserQueue {
    const SCHEMA: Schema = &[("experiment_id", &[Required, Str]), ("user", &[Required, Str])];
}

impl Request for GetReviewQueue {
    const SCHEMA: Schema = ONE_QUEUE;
}

impl Request for GetReviewQueueByName {
    const SCHEMA: Schema = &[("experiment_id", &[Required, Str]), ("name", &[Required, Str])];
}

impl Request for ListReviewQueues {
    const SCHEMA: Schema =
        &[("experiment_id", &[Required, Str]), ("max_results", &[Int, Between(1, MAX_SEARCH_RESULTS)])];
}

impl Request for UpdateReviewQueue {
    const SCHEMA: Schema = ONE_QUEUE;
}

impl Request for DeleteReviewQueue {
    const SCHEMA: Schema = ONE_QUEUE;
}

impl Request for AddItemsToReviewQueue {
    const SCHEMA: Schema = ONE_QUEUE;
}

impl Request for RemoveItemsFromReviewQueue {
    const SCHEMA: Schema = ONE_QUEUE;
}

impl Request for ListReviewQueueItems {
    const SCHEMA: Schema =
        &[("queue_id", &[Required, Str]), ("max_results", &[Int, Between(1, MAX_SEARCH_RESULTS)])];
}

impl Request for SetReviewQueueItemStatus {
    const SCHEMA: Schema = &[("queue_id", &[Required, Str]), ("item_id", &[Required, Str])];
}

/// `POST review-queues/create`. Upstream: `_create_review_queue`.
pub async fn create_review_queue(
    app: App,
    Proto(mut r): Proto<CreateReviewQueue>,
) -> Reply<create_review_queue::Response> {
    let experiment = r.experiment_id.take().unwrap_or_default();
    let new = NewReviewQueue::try_from(r)?;
    let queue = app.store.create_review_queue(ExperimentId::parse(&experiment)?, new).await?;
    reply::json(create_review_queue::Response { review_queue: Some(queue) })
}

/// `POST review-queues/get-or-create-user`. Upstream: `_get_or_create_user_queue`.
pub async fn get_or_create_user_queue(
    app: App,
    Proto(r): Proto<GetOrCreateUserQueue>,
) -> Reply<get_or_create_user_queue::Response> {
    let new = NewReviewQueue::of_user(r.user())?;
    let queue = app.store.get_or_create_user_queue(ExperimentId::parse(r.experiment_id())?, new).await?;
    reply::json(get_or_create_user_queue::Response { review_queue: Some(queue) })
}

/// `GET review-queues/get`. Upstream: `_get_review_queue`.
pub async fn get_review_queue(
    app: App,
    Proto(r): Proto<GetReviewQueue>,
) -> Reply<get_review_queue::Response> {
    let queue = app.store.get_review_queue(ReviewQueueId::from(r.queue_id)).await?;
    reply::json(get_review_queue::Response { review_queue: Some(queue) })
}

/// `GET review-queues/get-by-name`. Upstream: `_get_review_queue_by_name`.
pub async fn get_review_queue_by_name(
    app: App,
    Proto(r): Proto<GetReviewQueueByName>,
) -> Reply<get_review_queue_by_name::Response> {
    let (experiment, name) = (ExperimentId::parse(r.experiment_id())?, r.name.unwrap_or_default());
    let queue = app.store.get_review_queue_by_name(experiment, name).await?;
    reply::json(get_review_queue_by_name::Response { review_queue: Some(queue) })
}

/// `GET review-queues/list`. Upstream: `_list_review_queues`.
pub async fn list_review_queues(
    app: App,
    Proto(r): Proto<ListReviewQueues>,
) -> Reply<list_review_queues::Response> {
    reply::json(app.store.list_review_queues(r).await?)
}

/// `POST review-queues/update`. Upstream: `_update_review_queue`.
pub async fn update_review_queue(
    app: App,
    Proto(mut r): Proto<UpdateReviewQueue>,
) -> Reply<update_review_queue::Response> {
    let id = ReviewQueueId::from(r.queue_id.take());
    let queue = app.store.update_review_queue(id, r.into()).await?;
    reply::json(update_review_queue::Response { review_queue: Some(queue) })
}

/// `POST review-queues/delete`. Upstream: `_delete_review_queue`.
pub async fn delete_review_queue(
    app: App,
    Proto(r): Proto<DeleteReviewQueue>,
) -> Reply<delete_review_queue::Response> {
    app.store.delete_review_queue(ReviewQueueId::from(r.queue_id)).await?;
    reply::empty()
}

/// `POST review-queues/items/add`. Upstream: `_add_items_to_review_queue`.
pub async fn add_items_to_review_queue(
    app: App,
    Proto(r): Proto<AddItemsToReviewQueue>,
) -> Reply<add_items_to_review_queue::Response> {
    let item_ids = normalize_item_ids(&r.item_ids)?;
    let items = app.store.add_items_to_review_queue(ReviewQueueId::from(r.queue_id), item_ids).await?;
    reply::json(add_items_to_review_queue::Response { items })
}

/// `POST review-queues/items/remove`. Upstream: `_remove_items_from_review_queue`.
pub async fn remove_items_from_review_queue(
    app: App,
    Proto(r): Proto<RemoveItemsFromReviewQueue>,
) -> Reply<remove_items_from_review_queue::Response> {
    let item_ids = normalize_item_ids(&r.item_ids)?;
    app.store.remove_items_from_review_queue(ReviewQueueId::from(r.queue_id), item_ids).await?;
    reply::empty()
}

/// `GET review-queues/items/list`. Upstream: `_list_review_queue_items`.
pub async fn list_review_queue_items(
    app: App,
    Proto(r): Proto<ListReviewQueueItems>,
) -> Reply<list_review_queue_items::Response> {
    reply::json(app.store.list_review_queue_items(r).await?)
}

/// `POST review-queues/items/set-status`. Upstream: `_set_review_queue_item_status`.
pub async fn set_review_queue_item_status(
    app: App,
    Proto(mut r): Proto<SetReviewQueueItemStatus>,
) -> Reply<set_review_queue_item_status::Response> {
    let id = ReviewQueueId::from(r.queue_id.take());
    let item = app.store.set_review_queue_item_status(id, NewStatus::try_from(r)?).await?;
    reply::json(set_review_queue_item_status::Response { item: Some(item) })
}
