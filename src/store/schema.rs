//! The tables of the stock MLflow 3.17.2 schema, as far as the queries name them. One text serves both
//! databases: their types differ only where diesel reads them alike.

diesel::table! {
    experiments (experiment_id) {
        experiment_id -> Integer,
        name -> Text,
        artifact_location -> Nullable<Text>,
        lifecycle_stage -> Nullable<Text>,
        creation_time -> Nullable<BigInt>,
        last_update_time -> Nullable<BigInt>,
        workspace -> Text,
    }
}

diesel::table! {
    experiment_tags (key, experiment_id) {
        key -> Text,
        value -> Nullable<Text>,
        experiment_id -> Integer,
    }
}

diesel::table! {
    runs (run_uuid) {
        run_uuid -> Text,
        name -> Nullable<Text>,
        source_type -> Nullable<Text>,
        source_name -> Nullable<Text>,
        entry_point_name -> Nullable<Text>,
        user_id -> Nullable<Text>,
        status -> Nullable<Text>,
        start_time -> Nullable<BigInt>,
        end_time -> Nullable<BigInt>,
        source_version -> Nullable<Text>,
        lifecycle_stage -> Nullable<Text>,
        artifact_uri -> Nullable<Text>,
        experiment_id -> Nullable<Integer>,
        deleted_time -> Nullable<BigInt>,
    }
}

diesel::table! {
    tags (key, run_uuid) {
        key -> Text,
        value -> Nullable<Text>,
        run_uuid -> Text,
    }
}

diesel::table! {
    params (key, run_uuid) {
        key -> Text,
        value -> Text,
        run_uuid -> Text,
    }
}

diesel::table! {
    metrics (key, timestamp, step, run_uuid, value, is_nan) {
        key -> Text,
        value -> Double,
        timestamp -> BigInt,
        run_uuid -> Text,
        step -> BigInt,
        is_nan -> Bool,
    }
}

diesel::table! {
    latest_metrics (key, run_uuid) {
        key -> Text,
        value -> Double,
        timestamp -> Nullable<BigInt>,
        step -> BigInt,
        is_nan -> Bool,
        run_uuid -> Text,
    }
}

diesel::table! {
    datasets (experiment_id, name, digest) {
        dataset_uuid -> Text,
        experiment_id -> Integer,
        name -> Text,
        digest -> Text,
        dataset_source_type -> Text,
        dataset_source -> Text,
        dataset_schema -> Nullable<Text>,
        dataset_profile -> Nullable<Text>,
    }
}

diesel::table! {
    inputs (source_type, source_id, destination_type, destination_id) {
        input_uuid -> Text,
        source_type -> Text,
        source_id -> Text,
        destination_type -> Text,
        destination_id -> Text,
        step -> BigInt,
    }
}

diesel::table! {
    input_tags (input_uuid, name) {
        input_uuid -> Text,
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    logged_models (model_id) {
        model_id -> Text,
        experiment_id -> Integer,
        name -> Text,
        artifact_location -> Text,
        creation_timestamp_ms -> BigInt,
        last_updated_timestamp_ms -> BigInt,
        status -> Integer,
        lifecycle_stage -> Nullable<Text>,
        model_type -> Nullable<Text>,
        source_run_id -> Nullable<Text>,
        status_message -> Nullable<Text>,
    }
}

diesel::table! {
    logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, run_id) {
        model_id -> Text,
        metric_name -> Text,
        metric_timestamp_ms -> BigInt,
        metric_step -> BigInt,
        metric_value -> Nullable<Double>,
        experiment_id -> Integer,
        run_id -> Text,
        dataset_uuid -> Nullable<Text>,
        dataset_name -> Nullable<Text>,
        dataset_digest -> Nullable<Text>,
    }
}

diesel::table! {
    logged_model_params (model_id, param_key) {
        model_id -> Text,
        experiment_id -> Integer,
        param_key -> Text,
        param_value -> Text,
    }
}

diesel::table! {
    logged_model_tags (model_id, tag_key) {
        model_id -> Text,
        experiment_id -> Integer,
        tag_key -> Text,
        tag_value -> Text,
    }
}

diesel::table! {
    registered_models (workspace, name) {
        name -> Text,
        creation_time -> Nullable<BigInt>,
        last_updated_time -> Nullable<BigInt>,
        description -> Nullable<Text>,
        workspace -> Text,
    }
}

diesel::table! {
    registered_model_tags (workspace, key, name) {
        key -> Text,
        value -> Nullable<Text>,
        name -> Text,
        workspace -> Text,
    }
}

diesel::table! {
    registered_model_aliases (workspace, name, alias) {
        alias -> Text,
        version -> Integer,
        name -> Text,
        workspace -> Text,
    }
}

diesel::table! {
    model_versions (workspace, name, version) {
        name -> Text,
        version -> Integer,
        creation_time -> Nullable<BigInt>,
        last_updated_time -> Nullable<BigInt>,
        description -> Nullable<Text>,
        user_id -> Nullable<Text>,
        current_stage -> Nullable<Text>,
        source -> Nullable<Text>,
        run_id -> Nullable<Text>,
        status -> Nullable<Text>,
        status_message -> Nullable<Text>,
        run_link -> Nullable<Text>,
        storage_location -> Nullable<Text>,
        workspace -> Text,
    }
}

diesel::table! {
    model_version_tags (workspace, key, name, version) {
        key -> Text,
        value -> Nullable<Text>,
        name -> Text,
        version -> Integer,
        workspace -> Text,
    }
}

diesel::table! {
    trace_info (request_id) {
        request_id -> Text,
        experiment_id -> Integer,
        timestamp_ms -> BigInt,
        execution_time_ms -> Nullable<BigInt>,
        status -> Text,
        client_request_id -> Nullable<Text>,
        request_preview -> Nullable<Text>,
        response_preview -> Nullable<Text>,
        db_payload_generation -> Integer,
        trace_name -> Nullable<Text>,
        session_id -> Nullable<Text>,
        input_tokens -> Nullable<BigInt>,
        output_tokens -> Nullable<BigInt>,
        total_tokens -> Nullable<BigInt>,
        cache_read_input_tokens -> Nullable<BigInt>,
        cache_creation_input_tokens -> Nullable<BigInt>,
        cache_creation_input_tokens_above_1hr -> Nullable<BigInt>,
        input_cost -> Nullable<Double>,
        output_cost -> Nullable<Double>,
        total_cost -> Nullable<Double>,
    }
}

diesel::table! {
    trace_tags (key, request_id) {
        key -> Text,
        value -> Nullable<Text>,
        request_id -> Text,
    }
}

diesel::table! {
    trace_request_metadata (key, request_id) {
        key -> Text,
        value -> Nullable<Text>,
        request_id -> Text,
    }
}

diesel::table! {
    trace_metrics (request_id, key) {
        request_id -> Text,
        key -> Text,
        value -> Nullable<Double>,
    }
}

diesel::table! {
    spans (trace_id, span_id) {
        trace_id -> Text,
        experiment_id -> Integer,
        span_id -> Text,
        parent_span_id -> Nullable<Text>,
        name -> Nullable<Text>,
        #[sql_name = "type"]
        type_ -> Nullable<Text>,
        status -> Text,
        start_time_unix_nano -> BigInt,
        end_time_unix_nano -> Nullable<BigInt>,
        duration_ns -> Nullable<BigInt>,
        content -> Text,
        input_cost -> Nullable<Double>,
        output_cost -> Nullable<Double>,
        total_cost -> Nullable<Double>,
        model_name -> Nullable<Text>,
        model_provider -> Nullable<Text>,
    }
}

diesel::table! {
    span_metrics (trace_id, span_id, key) {
        trace_id -> Text,
        span_id -> Text,
        key -> Text,
        value -> Nullable<Double>,
    }
}

diesel::table! {
    assessments (assessment_id) {
        assessment_id -> Text,
        trace_id -> Text,
        name -> Text,
        assessment_type -> Text,
        value -> Text,
        error -> Nullable<Text>,
        created_timestamp -> BigInt,
        last_updated_timestamp -> BigInt,
        source_type -> Text,
        source_id -> Nullable<Text>,
        run_id -> Nullable<Text>,
        span_id -> Nullable<Text>,
        rationale -> Nullable<Text>,
        overrides -> Nullable<Text>,
        valid -> Bool,
        assessment_metadata -> Nullable<Text>,
        experiment_id -> Nullable<Integer>,
        trace_timestamp_ms -> Nullable<BigInt>,
        aggregate_value -> Nullable<Double>,
        is_numeric_value -> Bool,
    }
}

diesel::table! {
    entity_associations (source_type, source_id, destination_type, destination_id) {
        association_id -> Text,
        source_type -> Text,
        source_id -> Text,
        destination_type -> Text,
        destination_id -> Text,
        created_time -> Nullable<BigInt>,
    }
}

diesel::table! {
    evaluation_datasets (dataset_id) {
        dataset_id -> Text,
        name -> Text,
        schema -> Nullable<Text>,
        profile -> Nullable<Text>,
        digest -> Nullable<Text>,
        created_time -> Nullable<BigInt>,
        last_update_time -> Nullable<BigInt>,
        created_by -> Nullable<Text>,
        last_updated_by -> Nullable<Text>,
        workspace -> Text,
    }
}

diesel::table! {
    evaluation_dataset_tags (dataset_id, key) {
        dataset_id -> Text,
        key -> Text,
        value -> Nullable<Text>,
    }
}

// The columns of JSON are read as their text; they are written by statements that say so.
diesel::table! {
    evaluation_dataset_records (dataset_record_id) {
        dataset_record_id -> Text,
        dataset_id -> Text,
        inputs -> Text,
        outputs -> Nullable<Text>,
        expectations -> Nullable<Text>,
        tags -> Nullable<Text>,
        source -> Nullable<Text>,
        source_id -> Nullable<Text>,
        source_type -> Nullable<Text>,
        created_time -> Nullable<BigInt>,
        last_update_time -> Nullable<BigInt>,
        created_by -> Nullable<Text>,
        last_updated_by -> Nullable<Text>,
        input_hash -> Text,
    }
}

diesel::table! {
    scorers (scorer_id) {
        experiment_id -> Integer,
        scorer_name -> Text,
        scorer_id -> Text,
    }
}

diesel::table! {
    scorer_versions (scorer_id, scorer_version) {
        scorer_id -> Text,
        scorer_version -> Integer,
        serialized_scorer -> Text,
        creation_time -> Nullable<BigInt>,
    }
}

diesel::table! {
    online_scoring_configs (online_scoring_config_id) {
        online_scoring_config_id -> Text,
        scorer_id -> Text,
        sample_rate -> Double,
        experiment_id -> Integer,
        filter_string -> Nullable<Text>,
    }
}

diesel::table! {
    label_schemas (schema_id) {
        schema_id -> Text,
        experiment_id -> Integer,
        name -> Text,
        #[sql_name = "type"]
        schema_type -> Text,
        instruction -> Nullable<Text>,
        enable_comment -> Bool,
        input_type -> Text,
        input_config -> Text,
        created_by -> Nullable<Text>,
        created_time -> BigInt,
        last_update_time -> BigInt,
        is_default -> Bool,
    }
}

diesel::table! {
    review_queues (queue_id) {
        queue_id -> Text,
        experiment_id -> Integer,
        name -> Text,
        queue_type -> Text,
        created_by -> Nullable<Text>,
        creation_time_ms -> BigInt,
        last_update_time_ms -> BigInt,
        name_key -> Text,
    }
}

diesel::table! {
    review_queue_items (queue_id, item_id) {
        queue_id -> Text,
        item_type -> Text,
        item_id -> Text,
        status -> Text,
        completed_by -> Nullable<Text>,
        completed_time_ms -> Nullable<BigInt>,
        creation_time_ms -> BigInt,
        last_update_time_ms -> BigInt,
    }
}

diesel::table! {
    review_queue_users (queue_id, user_id) {
        queue_id -> Text,
        user_id -> Text,
    }
}

diesel::table! {
    review_queue_label_schemas (queue_id, schema_id) {
        queue_id -> Text,
        schema_id -> Text,
    }
}

diesel::table! {
    issues (issue_id) {
        issue_id -> Text,
        experiment_id -> Integer,
        name -> Text,
        description -> Text,
        status -> Text,
        severity -> Nullable<Text>,
        root_causes -> Nullable<Text>,
        source_run_id -> Nullable<Text>,
        categories -> Nullable<Text>,
        created_timestamp -> BigInt,
        last_updated_timestamp -> BigInt,
        created_by -> Nullable<Text>,
    }
}

// The columns of JSON are read as their text.
diesel::table! {
    jobs (id) {
        id -> Text,
        creation_time -> BigInt,
        job_name -> Text,
        params -> Text,
        timeout -> Nullable<Double>,
        status -> Integer,
        result -> Nullable<Text>,
        retry_count -> Integer,
        last_update_time -> BigInt,
        workspace -> Text,
        status_details -> Nullable<Text>,
        creator -> Nullable<Text>,
        status_message -> Nullable<Text>,
        progress -> Nullable<Text>,
        progress_updated_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    webhooks (webhook_id) {
        webhook_id -> Text,
        name -> Text,
        description -> Nullable<Text>,
        url -> Text,
        status -> Text,
        secret -> Nullable<Text>,
        creation_timestamp -> Nullable<BigInt>,
        last_updated_timestamp -> Nullable<BigInt>,
        deleted_timestamp -> Nullable<BigInt>,
        workspace -> Text,
    }
}

diesel::table! {
    webhook_events (webhook_id, entity, action) {
        webhook_id -> Text,
        entity -> Text,
        action -> Text,
    }
}

diesel::table! {
    ferroflow_webhook_deliveries (delivery_id) {
        delivery_id -> Text,
        webhook_id -> Text,
        event -> Text,
        body -> Text,
        attempts -> Integer,
        created_time_ms -> BigInt,
        due_time_ms -> BigInt,
        outcome -> Nullable<Text>,
        finished_time_ms -> Nullable<BigInt>,
        response_status -> Nullable<Integer>,
        error -> Nullable<Text>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    experiments,
    experiment_tags,
    runs,
    tags,
    params,
    metrics,
    latest_metrics,
    datasets,
    inputs,
    input_tags,
    logged_models,
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    registered_models,
    registered_model_tags,
    registered_model_aliases,
    model_versions,
    model_version_tags,
    trace_info,
    trace_tags,
    trace_request_metadata,
    trace_metrics,
    spans,
    span_metrics,
    assessments,
    entity_associations,
    evaluation_datasets,
    evaluation_dataset_tags,
    evaluation_dataset_records,
    scorers,
    scorer_versions,
    online_scoring_configs,
    label_schemas,
    review_queues,
    review_queue_items,
    review_queue_users,
    review_queue_label_schemas,
    issues,
    jobs,
    webhooks,
    webhook_events,
    ferroflow_webhook_deliveries,
);

diesel::table! {
    secrets (secret_id) {
        secret_id -> Text,
        secret_name -> Text,
        encrypted_value -> Binary,
        wrapped_dek -> Binary,
        kek_version -> Integer,
        masked_value -> Text,
        provider -> Nullable<Text>,
        auth_config -> Nullable<Text>,
        created_by -> Nullable<Text>,
        created_at -> BigInt,
        last_updated_by -> Nullable<Text>,
        last_updated_at -> BigInt,
        workspace -> Text,
    }
}

diesel::table! {
    model_definitions (model_definition_id) {
        model_definition_id -> Text,
        name -> Text,
        secret_id -> Nullable<Text>,
        provider -> Text,
        model_name -> Text,
        created_by -> Nullable<Text>,
        created_at -> BigInt,
        last_updated_by -> Nullable<Text>,
        last_updated_at -> BigInt,
        workspace -> Text,
    }
}

diesel::table! {
    endpoints (endpoint_id) {
        endpoint_id -> Text,
        name -> Nullable<Text>,
        created_by -> Nullable<Text>,
        created_at -> BigInt,
        last_updated_by -> Nullable<Text>,
        last_updated_at -> BigInt,
        routing_strategy -> Nullable<Text>,
        fallback_config_json -> Nullable<Text>,
        experiment_id -> Nullable<Integer>,
        usage_tracking -> Bool,
        workspace -> Text,
    }
}

diesel::table! {
    endpoint_model_mappings (mapping_id) {
        mapping_id -> Text,
        endpoint_id -> Text,
        model_definition_id -> Text,
        weight -> Double,
        created_by -> Nullable<Text>,
        created_at -> BigInt,
        linkage_type -> Text,
        fallback_order -> Nullable<Integer>,
    }
}

diesel::table! {
    endpoint_tags (key, endpoint_id) {
        key -> Text,
        value -> Nullable<Text>,
        endpoint_id -> Text,
    }
}

diesel::table! {
    endpoint_bindings (endpoint_id, resource_type, resource_id) {
        endpoint_id -> Text,
        resource_type -> Text,
        resource_id -> Text,
        created_at -> BigInt,
        created_by -> Nullable<Text>,
        last_updated_at -> BigInt,
        last_updated_by -> Nullable<Text>,
        display_name -> Nullable<Text>,
    }
}

diesel::table! {
    budget_policies (budget_policy_id) {
        budget_policy_id -> Text,
        budget_unit -> Text,
        budget_amount -> Double,
        duration_unit -> Text,
        duration_value -> Integer,
        target_scope -> Text,
        budget_action -> Text,
        created_by -> Nullable<Text>,
        created_at -> BigInt,
        last_updated_by -> Nullable<Text>,
        last_updated_at -> BigInt,
        workspace -> Text,
        target_value -> Nullable<Text>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    secrets,
    model_definitions,
    endpoints,
    endpoint_model_mappings,
    endpoint_tags,
    endpoint_bindings,
    budget_policies,
);

diesel::table! {
    mcp_servers (workspace, name) {
        workspace -> Text,
        name -> Text,
        display_name -> Nullable<Text>,
        description -> Nullable<Text>,
        last_updated_by -> Nullable<Text>,
        last_updated_at -> BigInt,
    }
}

diesel::table! {
    mcp_server_tags (workspace, name, key) {
        workspace -> Text,
        name -> Text,
        key -> Text,
        value -> Nullable<Text>,
    }
}

diesel::table! {
    mcp_server_aliases (workspace, name, alias) {
        workspace -> Text,
        name -> Text,
        alias -> Text,
        version -> Text,
    }
}

diesel::table! {
    mcp_server_versions (workspace, name, version) {
        workspace -> Text,
        name -> Text,
        version -> Text,
        status -> Text,
        last_updated_by -> Nullable<Text>,
        last_updated_at -> BigInt,
    }
}

diesel::table! {
    mcp_server_version_tags (workspace, name, version, key) {
        workspace -> Text,
        name -> Text,
        version -> Text,
        key -> Text,
        value -> Nullable<Text>,
    }
}

diesel::table! {
    mcp_access_endpoints (id) {
        id -> Text,
        workspace -> Text,
        server_name -> Text,
        server_version -> Nullable<Text>,
        server_alias -> Nullable<Text>,
        url -> Text,
        transport_type -> Text,
        created_by -> Nullable<Text>,
        created_at -> BigInt,
        last_updated_by -> Nullable<Text>,
        last_updated_at -> BigInt,
    }
}

diesel::table! {
    guardrails (guardrail_id) {
        guardrail_id -> Text,
        name -> Text,
        scorer_id -> Text,
        scorer_version -> Integer,
        stage -> Text,
        action -> Text,
        action_endpoint_id -> Nullable<Text>,
        created_at -> BigInt,
        last_updated_at -> BigInt,
        workspace -> Text,
    }
}

diesel::table! {
    guardrail_configs (endpoint_id, guardrail_id) {
        endpoint_id -> Text,
        guardrail_id -> Text,
        execution_order -> Nullable<Integer>,
        created_at -> BigInt,
        workspace -> Text,
    }
}
