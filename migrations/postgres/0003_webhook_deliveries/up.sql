-- Events that are announced to webhooks, kept until each was received or given up, so that a restart loses none. A
-- row without outcome waits until its due time, which whoever sends it moves forward while it does.
CREATE TABLE ferroflow_webhook_deliveries (
    delivery_id VARCHAR(36) NOT NULL,
    webhook_id VARCHAR(256) NOT NULL,
    event VARCHAR(64) NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_time_ms BIGINT NOT NULL,
    due_time_ms BIGINT NOT NULL,
    outcome VARCHAR(16),
    finished_time_ms BIGINT,
    response_status INTEGER,
    error TEXT,
    CONSTRAINT ferroflow_webhook_deliveries_pk PRIMARY KEY (delivery_id)
);
CREATE INDEX ferroflow_webhook_deliveries_due ON ferroflow_webhook_deliveries (finished_time_ms, due_time_ms);
