"""Cases of what this server does not do, where stock does not either without models, jobs and workspaces."""

from .case import get, post, send

AJAX = "/ajax-api/3.0/mlflow"

CASES = [
    get("/api/3.0/mlflow/workspaces"),
    get("/ajax-api/3.0/mlflow/workspaces"),
    post("/api/3.0/mlflow/workspaces", {"name": "w"}),
    get("/api/3.0/mlflow/workspaces/default"),
    send("PATCH", "/api/3.0/mlflow/workspaces/w", {"description": "d"}),
    send("DELETE", "/api/3.0/mlflow/workspaces/w"),
    send("PUT", "/api/3.0/mlflow/workspaces/w", {}),
    get("/gateway/mlflow/v1/models"),
    get(f"{AJAX}/demo/generate"),
    get(f"{AJAX}/scorer/invoke"),
    get(f"{AJAX}/issues/invoke"),
    get("/api/3.0/mlflow/scorer/invoke"),
    get("/gateway/openai/v1/embeddings", name="embeddings take no GET"),
]
