"""Cases of the webhooks API. Nothing is delivered: neither server may reach anything."""

from .case import broken_variants, get, post, raw, send

URL = "https://93.184.216.34/hook"
EVENTS = [{"entity": "PROMPT", "action": "CREATED"}, {"entity": "MODEL_VERSION", "action": "CREATED"}]


def new(**fields):
    """The body of a webhook that both servers take."""
    return {"name": "hook", "url": URL, "events": EVENTS[:1]} | fields


_LIFE = [
    get("webhooks", name="no webhooks"),
    post("webhooks", new(events=EVENTS), first="webhook.webhook_id"),
    get("webhooks/$first"),
    get("/ajax-api/2.0/mlflow/webhooks/$first"),
    post("webhooks", new(name="hook"), name="the same name again", second="webhook.webhook_id"),
    post("webhooks", new(description="ü – ☃", secret="s3cr3t", status="DISABLED"), full="webhook.webhook_id"),
    get("webhooks/$full"),
    post("/ajax-api/2.0/mlflow/webhooks", new(name="by-ajax"), ajax="webhook.webhook_id"),
    send("PATCH", "webhooks/$first", {"name": "renamed"}),
    send("PATCH", "webhooks/$first", {"description": "described"}),
    send("PATCH", "webhooks/$first", {"description": ""}),
    send("PATCH", "webhooks/$first", {"status": "DISABLED"}),
    send("PATCH", "webhooks/$first", {"status": "ACTIVE", "secret": "new"}),
    send("PATCH", "webhooks/$first", {"secret": ""}),
    send("PATCH", "webhooks/$first", {"events": [{"entity": "PROMPT_ALIAS", "action": "DELETED"}]}),
    send("PATCH", "webhooks/$first", {"events": []}),
    send("PATCH", "webhooks/$first", {"url": "https://1.1.1.1:8443/a?b=c#d"}),
    send("PATCH", "webhooks/$first", {"url": ""}),
    send("PATCH", "webhooks/$first", {"name": ""}),
    send("PATCH", "webhooks/$first", {"webhook_id": "$second", "name": "by-path"}),
    send("PATCH", "webhooks/$first", {}),
    send("PATCH", "/ajax-api/2.0/mlflow/webhooks/$first", {"name": "ajax"}),
    get("webhooks/$first", name="after all that"),
    send("DELETE", "webhooks/$second"),
    send("DELETE", "webhooks/$second", name="delete again"),
    get("webhooks/$second", name="deleted"),
    send("PATCH", "webhooks/$second", {"name": "x"}, name="update a deleted one"),
    post("webhooks/$second/test", {}, name="try a deleted one"),
    raw("DELETE", "webhooks/$ajax", name="delete without a body"),
]

_EVENTS = [
    post("webhooks", new(name=f"e{entity.lower()}", events=[{"entity": entity, "action": action}]), name=f"event {entity} {action}")
    for entity in (
        "REGISTERED_MODEL", "MODEL_VERSION", "MODEL_VERSION_TAG", "MODEL_VERSION_ALIAS", "PROMPT", "PROMPT_VERSION",
        "PROMPT_TAG", "PROMPT_VERSION_TAG", "PROMPT_ALIAS", "BUDGET_POLICY",
    )
    for action in ("CREATED", "UPDATED", "DELETED", "SET", "EXCEEDED")
] + [
    post("webhooks", new(events=EVENTS + EVENTS), name="events twice"),
    post("webhooks", new(events=[{"entity": 5, "action": 1}]), name="event by numbers"),
    post("webhooks", new(events=[{"entity": "PROMPT", "action": "CREATED", "more": 1}]), name="event with more"),
    *[
        post("webhooks", new(events=events), name=f"bad events {i}")
        for i, events in enumerate([
            [], [{}], [{"entity": "PROMPT"}], [{"action": "CREATED"}], [{"entity": "NOPE", "action": "CREATED"}],
            [{"entity": "PROMPT", "action": "NOPE"}], [{"entity": "prompt", "action": "created"}], ["prompt.created"],
            [None], {}, "prompt.created", None, [{"entity": 99, "action": 1}],
        ])
    ],
    send("PATCH", "webhooks/$full", {"events": EVENTS + EVENTS}, name="update with events twice"),
    send("PATCH", "webhooks/$full", {"events": [{"entity": "PROMPT", "action": "SET"}]}),
]  # fmt: skip

_NAMES = [
    post("webhooks", new(name=name), name=f"name {i}")
    for i, name in enumerate([
        "a", "A.b-c_9", "x" * 63, "x" * 64, "-a", "a-", ".a", "a_", "a b", "a/b", "é", "", " ", "a\n", "1", "a'b", 'a"b',
    ])
] + [send("PATCH", "webhooks/$full", {"name": "not good"})]  # fmt: skip

_URLS = [
    post("webhooks", new(url=url), name=f"url {url!r}")
    for url in (
        "https://93.184.216.34", "HTTPS://93.184.216.34/x", "https://user:pw@93.184.216.34:99/x", "https://[2606:4700:4700::1111]/x",
        " https://93.184.216.34/x", "http://93.184.216.34/x", "ftp://93.184.216.34/x", "93.184.216.34/x", "//93.184.216.34/x",
        "https:///x", "https://", "https:93.184.216.34", "https://:443/x", "https://[zz]/x", "https://[zz/x", "https://zz]/x",
        "https://[1.1.1.1]/x", "", "   ", "javascript:alert(1)", "file:///etc/passwd", "https://nonexistent.invalid/x",
        "https://a..b/x", "https://.a/x", f"https://{'x' * 64}.invalid/x", "https://127.0.0.1/x", "https://127.1/x", "https://2130706433/x",
        "https://0x7f.0.0.1/x", "https://0/x", "https://0.0.0.0/x", "https://10.0.0.1/x", "https://172.16.0.1/x",
        "https://192.168.1.1/x", "https://169.254.169.254/latest/meta-data", "https://100.64.0.1/x", "https://192.0.2.1/x",
        "https://198.18.0.1/x", "https://240.0.0.1/x", "https://255.255.255.255/x", "https://[::1]/x", "https://[::]/x",
        "https://[fc00::1]/x", "https://[fe80::1]/x", "https://[2001:db8::1]/x", 
        "https://[64:ff9b::10.0.0.1]/x", "https://[2002:7f00:1::]/x", "https://93.184.216.34@127.0.0.1/x",
        "https://127.0.0.1\\@93.184.216.34/x", "https://93.184.216.34/" + "x" * 400,
    )
] + [
    send("PATCH", "webhooks/$full", {"url": "https://127.0.0.1/x"}),
    send("PATCH", "webhooks/$full", {"url": "http://93.184.216.34/x"}),
    send("PATCH", "webhooks/nope", {"name": "not good"}, name="a bad name of an unknown webhook"),
    send("PATCH", "webhooks/nope", {"name": "good"}, name="a good name of an unknown webhook"),
]  # fmt: skip

_LISTS = [
    get("webhooks", max_results="2", save={"page": "next_page_token"}),
    get("webhooks", max_results="2", page_token="$page", name="second page"),
    *[get("webhooks", max_results=n) for n in ("0", "-1", "1000", "1001", "abc", "", "1.5", "99999999999")],
    *[get("webhooks", page_token=token) for token in ("", "x", "abcd", "eyJvZmZzZXQiOiA5OTk5fQ==", "eyJvZmZzZXQiOiAtMX0=")],
    get("webhooks", unknown="1", max_results="1"),
    get("webhooks/nope"),
    send("DELETE", "webhooks/nope"),
    post("webhooks/nope/test", {}),
    post("webhooks/nope/test", {"event": {"entity": "PROMPT", "action": "SET"}}, name="try with an event that is none"),
    post("webhooks/$full", {}, name="POST to a webhook"),
    get("webhooks/$full/test", name="GET of a try"),
    send("PUT", "webhooks/$full", {}, name="PUT to a webhook"),
]

_BROKEN = [
    *broken_variants("webhooks", new(description="d", secret="s", status="ACTIVE")),
    *[
        case
        for case in broken_variants(
            "webhooks/$full",
            {"name": "n", "description": "d", "url": URL, "events": EVENTS, "secret": "s", "status": "ACTIVE"},
            "PATCH",
        )
        # Stock reads an event of nothing from this and breaks; here no event is read, and none is changed.
        if "events as list of int" not in case.name
    ],
    raw("POST", "webhooks", b"not json", headers={"Content-Type": "application/json"}),
    raw("POST", "webhooks", b"{}", headers={"Content-Type": "text/plain"}),
    raw("PATCH", "webhooks/$full", b"not json", headers={"Content-Type": "application/json"}),
]

CASES = [*_LIFE, *_EVENTS, *_NAMES, *_URLS, *_LISTS, *_BROKEN]
