"""The differential test's parts: cases by resource, how answers are compared, which differences are tolerated.

Every case is a request that is sent to the stock server and to ours, in the same order, so that both hold the same
data. `case.py` is the vocabulary; add a case to the file of its resource.
"""

#: The files of cases, in the order in which they are played.
RESOURCES = [
    "requests", "experiments", "runs", "search", "metrics", "models", "artifacts", "graphql", "registry", "webhooks",
    "gateway", "mcp", "unavailable", "evaluation", "trace_search", "otlp", "traces", "assessments",
]  # fmt: skip
