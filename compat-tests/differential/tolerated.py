"""Every difference from the stock server that the differential test lets pass, each with its reason."""

from __future__ import annotations

import copy
import mimetypes
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Comparable = dict[str, Any]


@dataclass(frozen=True)
class Tolerance:
    """Where the name of a case matches, `forget(stock, ours)` removes from both answers what may differ."""

    cases: str
    reason: str
    forget: Callable[[Comparable, Comparable], None]
    #: Whether only some runs need it.
    by_chance: bool = False

    @property
    def name(self) -> str:
        """Tells it from all others."""
        return f"{self.cases}: {self.reason}"


def _message(answer: Comparable) -> str:
    body = answer["body"]
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""


def _sort_sets(*answers: Comparable) -> None:
    """Sorts what Python printed as a set or a list inside a message."""
    for answer in answers:
        if message := _message(answer):
            answer["body"]["message"] = re.sub(
                r"[{\[]('[^{}\[\]]*')[}\]]",
                lambda found: "{" + ", ".join(sorted(re.findall(r"'[^']*'", found[1]))) + "}",
                message,
            )


def _cut_driver_text(stock: Comparable, ours: Comparable) -> None:
    """Keeps what stock says before the database driver's words; ours must say that much."""
    words = re.search(r"\(raised as a result of Query|\((sqlite3|psycopg2?)\.", _message(stock))
    if words:
        kept = _message(stock)[: words.start()].removesuffix(" Error: ").strip()
        if isinstance(ours["body"], dict) and _message(ours).startswith(kept):
            stock["body"]["message"] = ours["body"]["message"] = kept


def _forget_error_page(stock: Comparable, ours: Comparable) -> None:
    """Keeps of an HTML error page that it is one: status and headers are compared all the same."""
    for answer in (stock, ours):
        if answer["status"] >= 300 and isinstance(answer["body"], str) and answer["body"].startswith("<!doctype html>"):
            answer["body"] = "an HTML page"


#: How the messages of Python's own exceptions begin.
_ACCIDENTS = (
    "Python int too large", "malformed node or string", "type object", "could not convert string",
    "A string literal cannot contain NUL", "inputs must be provided", "int() argument must be", "invalid literal for int()",
    "<TraceStatus.UNSPECIFIED",
    "DatasetRecordSource.__init__()", "Attribute 'inputs' does not accept", "Attribute 'expectations' does not accept",
)  # fmt: skip


#: How Python says that a value is of a type, or a key a word, that its code did not reckon with.
_TYPE_ERROR = re.compile(r"'\w+'( object (has no|is not|does not)|$)")


def _accept_refusal(stock: Comparable, ours: Comparable) -> None:
    """Where stock failed with 500 by accident, any refusal of ours in JSON will do."""
    accident = isinstance(stock["body"], str) or _message(stock).startswith(_ACCIDENTS) or _TYPE_ERROR.match(_message(stock))
    if stock["status"] == 500 and accident and 400 <= ours["status"] < 500 and isinstance(ours["body"], dict):
        _forget_all(stock, ours)


#: What GraphQL answers of stock say when its own code raised.
_GRAPHQL_ACCIDENTS = ("Failed to parse run_view_type field", "required positional argument", "vars() argument")


def _accept_graphql(stock: Comparable, ours: Comparable) -> None:
    """Where stock's resolver failed by accident, any GraphQL answer of ours will do."""
    errors = stock["body"].get("errors") if isinstance(stock["body"], dict) else None
    accident = any(words in str(error) for error in errors or [] for words in _GRAPHQL_ACCIDENTS)
    if accident and isinstance(ours["body"], dict) and "data" in ours["body"]:
        stock["body"] = ours["body"] = None


def _forget_body(*answers: Comparable) -> None:
    for answer in answers:
        answer["body"] = None


def _forget_all(*answers: Comparable) -> None:
    for answer in answers:
        answer |= {"status": 0, "headers": {}, "body": None}


def _accept_answer(stock: Comparable, ours: Comparable) -> None:
    """Where stock failed with 500, an answer of ours will do."""
    if stock["status"] == 500 and ours["status"] == 200:
        _forget_all(stock, ours)


def _accept_code(status: int, code: str) -> Callable[[Comparable, Comparable], None]:
    """Lets this error of ours stand for whatever stock answered."""

    def accept(stock: Comparable, ours: Comparable) -> None:
        if ours["status"] == status and isinstance(ours["body"], dict) and ours["body"].get("error_code") == code:
            _forget_all(stock, ours)

    return accept


def _accept_status(status: int) -> Callable[[Comparable, Comparable], None]:
    """Lets an answer of ours of this status stand for whatever stock answered."""

    def accept(stock: Comparable, ours: Comparable) -> None:
        if ours["status"] == status:
            _forget_all(stock, ours)

    return accept


def _accept_json_error(stock: Comparable, ours: Comparable) -> None:
    """Where stock has a page for people, an error of the same status in JSON will do."""
    if stock["body"] == "an HTML page" and stock["status"] == ours["status"] and _message(ours):
        for answer in (stock, ours):
            answer["headers"].pop("content-type", None)
            answer["body"] = None


def _compare_detail(stock: Comparable, ours: Comparable) -> None:
    """Takes FastAPI's `detail` for the message of an error, and leaves only that of ours."""
    if isinstance(stock["body"], dict) and list(stock["body"]) == ["detail"] and _message(ours):
        stock["body"] = {"message": stock["body"]["detail"]}
        ours["body"] = {"message": _message(ours)}


def _plain_paths(*answers: Comparable) -> None:
    """Writes the path in a message, and those of a listing, without the slashes and dots that mean nothing."""
    for answer in answers:
        if re.match("No such artifact: |Artifact path refers to a directory", _message(answer)):
            answer["body"]["message"] = re.sub(
                r"'(.*)'$", lambda found: f"'{posixpath.normpath(found[1])}'", _message(answer)
            )
        elif isinstance(answer["body"], dict):
            for file in answer["body"].get("files", []):
                file["path"] = posixpath.normpath(file["path"])


def _forget_type_beyond_python(stock: Comparable, ours: Comparable) -> None:
    """Forgets the type of a file that only the machine's own list, where it has one, could know."""
    name = re.search(r"filename=\"?([^\";]*)", stock["headers"].get("content-disposition", ""))
    if name and mimetypes.MimeTypes().guess_type(name[1])[0] is None:
        for answer in (stock, ours):
            answer["headers"].pop("content-type", None)


def _without_headers(*names: str) -> Callable[[Comparable, Comparable], None]:
    def forget(*answers: Comparable) -> None:
        for answer in answers:
            for name in names:
                answer["headers"].pop(name, None)

    return forget


def _forget_compression(stock: Comparable, ours: Comparable) -> None:
    ours["headers"]["vary"] = ours["headers"].get("vary", "").replace("Accept-Encoding, ", "")


def _accept_number_and_word(stock: Comparable, ours: Comparable) -> None:
    if "invalid input syntax for type integer" in _message(stock) and ours["status"] == 200:
        _forget_all(stock, ours)


def _forget_negative_zero(stock: Comparable, ours: Comparable) -> None:
    for kept, sent in zip(stock["body"]["run"]["data"]["metrics"], ours["body"]["run"]["data"]["metrics"], strict=True):
        if (kept["value"], sent["value"]) == ("float 0.0", "float -0.0"):
            kept["value"] = sent["value"]


def _cut_token_error(*answers: Comparable) -> None:
    for answer in answers:
        if found := re.match(r"Invalid page token: \S+\. ", _message(answer)):
            answer["body"]["message"] = found[0]


def _forget_descriptions(*answers: Comparable) -> None:
    """Forgets how fields and ways to log in are explained, not that they are."""
    modes = [m for answer in answers if isinstance(answer["body"], dict) for m in answer["body"].get("auth_modes", [])]
    for mode in modes:
        for explained in (mode, *mode["config_fields"], *mode["secret_fields"]):
            explained["description"] = bool(explained.get("description"))


def _sort_endpoints(*answers: Comparable) -> None:
    """Sorts the endpoints of an MCP server, or of each of a page of them; those of a page of endpoints stay."""
    for answer in answers:
        body = answer["body"] if isinstance(answer["body"], dict) else {}
        for server in body.get("mcp_servers") or [body]:
            if "name" in server and "access_endpoints" in server:
                server["access_endpoints"].sort(key=lambda endpoint: endpoint["id"])


def _sort_gateway(*answers: Comparable) -> None:
    """Sorts the models of endpoints of the gateway, without the ids that nothing asks for, and the bindings."""
    for answer in answers:
        body = answer["body"] if isinstance(answer["body"], dict) else {}
        one = body.get("endpoint")
        for endpoint in (each for each in [*(body.get("endpoints") or []), one] if isinstance(each, dict)):
            for mapping in endpoint.get("model_mappings", []):
                mapping.pop("mapping_id", None)
            endpoint.get("model_mappings", []).sort(key=lambda mapping: str(sorted(mapping.items(), key=str)))
        body.get("bindings", []).sort(key=lambda binding: str(sorted(binding.items(), key=str)))


def _sort_versions(*answers: Comparable) -> None:
    """Sorts the versions of an answer by their number."""
    for answer in answers:
        if isinstance(answer["body"], dict) and answer["body"].get("model_versions"):
            answer["body"]["model_versions"].sort(key=lambda version: int(version["version"]))


def _cut_active_version(*answers: Comparable) -> None:
    for answer in answers:
        if "an active version ('" in _message(answer):
            answer["body"]["message"] = re.sub(r"an active version \('[^']*'\)", "an active version", _message(answer))


def _cut_spaces(*answers: Comparable) -> None:
    """Takes the file of a trace's spans for what it says, not for how it is written."""
    for answer in answers:
        if isinstance(answer["body"], str) and answer["body"].startswith('{"spans":'):
            answer["body"] = re.sub("(?<=[,:]) ", "", answer["body"])


def _forget_duration(*answers: Comparable) -> None:
    for answer in answers:
        if isinstance(answer["body"], dict) and "trace" in answer["body"]:
            answer["body"]["trace"]["trace_info"].pop("execution_duration", None)


#: The order counts: what is done to an answer is there for the next.
TOLERATED = [
    # What is not there yet.
    Tolerance(
        "GET /ajax-api/3.0/mlflow/assistant/providers",
        "stock lists programs that it could run for an assistant; there is no assistant here",
        _forget_body,
    ),
    # Where stock breaks.
    Tolerance(
        r"(registered-models|model-versions)/search filter: name = \('a'\)",
        "stock gives a list behind = to the database, which fails over it on SQLite only",
        _accept_code(400, "INVALID_PARAMETER_VALUE"),
    ),
    Tolerance(".*", "stock's GraphQL breaks over runViewType and over an absent argument", _accept_graphql),
    Tolerance(
        "batch 29|(search traces )?max_results None", "null is as good as absent, over which stock's code raises", _accept_answer
    ),
    Tolerance(
        "model filter: attributes.creation_timestamp < 5",
        "stock looks for a column of that name, though without `attributes.` it knows the field",
        _accept_answer,
    ),
    Tolerance(
        "model filter: (attributes.)?status .*",
        "a word is no status, which only PostgreSQL under stock makes an error of",
        _accept_number_and_word,
    ),
    Tolerance(
        "bad records {}", "no records are a list; stock walks over an object as well", _accept_code(400, "INVALID_PARAMETER_VALUE")
    ),
    # Words and forms.
    Tolerance(
        "create dataset strange .*",
        "of tags that are no texts stock shows some as they were given and some as they are stored",
        _accept_status(200),
    ),
    Tolerance(
        "search issues .*'status' = .*", "stock names the class of its parser", _accept_code(400, "INVALID_PARAMETER_VALUE")
    ),
    Tolerance(
        "GET of a search|GET /ajax-api/3.0/mlflow/issues/invoke",
        "no issue is called so: this address takes POST only",
        _accept_status(405),
    ),
    Tolerance("scorers of ", "an empty id is called as any other bad one", _accept_code(400, "INVALID_PARAMETER_VALUE")),
    Tolerance(".*", "the pages for unknown addresses and methods are in our own words", _forget_error_page),
    Tolerance("GET (/model-versions)?/get-artifact.*", "what an API client asks is answered in JSON", _accept_json_error),
    Tolerance("(proxy get|put|GET /api/2.0/mlflow-artifacts).*", "our errors have one shape", _compare_detail),
    Tolerance("(GET|PATCH) /ajax-api/3.0/jobs/.*", "our errors have one shape", _compare_detail),
    Tolerance(
        "POST /ajax-api/3.0/jobs/search .*", "our errors have one shape", _accept_code(400, "INVALID_PARAMETER_VALUE")
    ),
    Tolerance(
        "(proxy get|get-artifact|list|GET /get-artifact).*",
        "paths are said as they were understood, not as they were spelled",
        _plain_paths,
    ),
    Tolerance("model token .*", "the words of Python's JSON reader follow the token", _cut_token_error),
    Tolerance(".*", "Python prints a set in an order that changes from start to start", _sort_sets),
    Tolerance(".*", "stock repeats the database driver's error with its SQL to the client", _cut_driver_text),
    Tolerance(".*", "stock's own code raises on some values of a wrong type, which makes a 500", _accept_refusal),
    Tolerance(
        "GET /ajax-api/3.0/mlflow/gateway/provider-config.*",
        "what providers want is explained in our own words",
        _forget_descriptions,
    ),
    Tolerance(".*", "stock asks for the models of endpoints and for bindings in no order", _sort_gateway, by_chance=True),
    Tolerance(
        ".*get-latest-versions.*",
        "stock asks for the versions of a model in no order, and a vacuum of Postgres moves them",
        _sort_versions,
        by_chance=True,
    ),
    Tolerance(".*", "endpoints of MCP servers are in the order of their ids, which are random", _sort_endpoints, by_chance=True),
    Tolerance(
        "delete a server with active versions",
        "stock names whichever active version its database has first",
        _cut_active_version,
        by_chance=True,
    ),
    # Traces.
    Tolerance(
        r"search traces filter: (status = \('OK'\)|tags.team = \('red'\)|span.name = \('ask'\)|span.attributes.model IN .*)",
        "stock gives a list to a comparison that takes none, which its driver or database refuses",
        _accept_code(400, "INVALID_PARAMETER_VALUE"),
    ),
    Tolerance(r"search traces order: \['end_time'\]", "stock knows no column for it and raises", _accept_answer),
    Tolerance(
        r"metrics aggregations \[\]",
        "a question for nothing, which stock asks its database",
        _accept_code(400, "INVALID_PARAMETER_VALUE"),
    ),
    Tolerance(
        "(spans|trace of|kept of) odd count .*",
        "over a count of tokens or cost that is none stock's code raises, and loses all spans of the request",
        _accept_status(200),
    ),
    Tolerance('(trace|kept) of .*"llm.token_count.prompt": true.*', "Python takes true for a number", _accept_status(200)),
    Tolerance(
        "(kept|file) .*", "spans whose type is not known stock writes anew when they are read, without spaces", _cut_spaces
    ),
    Tolerance(
        r"(spans|trace of|kept of) links \[\{\"traceId.*",
        "in JSON stock reads the ids of links as base64, though it knows that those of spans are hexadecimal",
        _accept_status(200),
    ),
    Tolerance("spans wrong .*", "stock walks over a word as over the fields of a message", _accept_status(400)),
    Tolerance("(trace|kept) of wrong .*", "stock walks over a word as over the fields of a message", _accept_status(404)),
    Tolerance(
        "(spans|trace of|kept of) bytes of a resource", "stock cannot write bytes as JSON and raises", _accept_status(200)
    ),
    Tolerance("spans snake case", "stock reads the ids below fields in snake case as base64", _accept_status(200)),
    Tolerance(
        "spans headers {'x-mlflow-experiment-id': ''}",
        "an experiment without a name is none; SQLite under stock keeps such spans, PostgreSQL fails",
        _accept_status(422),
    ),
    Tolerance(
        "spans ((start|end) beyond bigint|in protobuf, late)",
        "a time that no column holds, over which the drivers of stock's two databases fail in two ways",
        _accept_status(422),
    ),
    Tolerance(
        "(spans|trace of) same span twice 0",
        "a span that is twice in one request breaks stock's statement on PostgreSQL; the last counts",
        _accept_status(200),
    ),
    Tolerance("spans scopes null", "null is as good as absent, over which stock's code raises", _accept_status(200)),
    Tolerance(
        "trace of (no times|no end|end before start|no end( at all)? .*)",
        "a span without an end makes the trace end before it began in stock",
        _forget_duration,
    ),
    Tolerance(
        "spans of a known trace to an unknown experiment, again",
        "an unknown experiment is an error, also where stock does not look at it",
        _accept_status(404),
    ),
    Tolerance(
        "(GET|PUT|DELETE|HEAD) /v1/traces",
        "where the method is wrong, stock hands on to its other web framework, which does not know the address",
        _accept_status(405),
    ),
    Tolerance("OPTIONS /v1/traces", "the same", _accept_status(200)),
    Tolerance(
        "(start|info of) two places",
        "stock's reader stops at the second value of one field, and takes what came before for all",
        _accept_status(200),
    ),
    Tolerance(
        "(start|info of) duration ('1'|'x'|''|5|'1e3s'|'9{12}s'|'1.5S'|' 1s')",
        "of a duration that is none stock makes 0 seconds",
        _accept_status(200),
    ),
    Tolerance(
        "(start|info of) artifact location as tag", "stock's own tag of that name collides with the client's", _accept_status(200)
    ),
    Tolerance(
        "tag an unknown trace", "stock fails over a foreign key of its database", _accept_code(404, "RESOURCE_DOES_NOT_EXIST")
    ),
    Tolerance("link the same twice|link prompts twice", "stock fails over a unique key of its database", _accept_status(200)),
    Tolerance(
        "delete in camel case 3.0",
        "fields have two spellings, of which stock knows one where a field is required",
        _accept_status(200),
    ),
    Tolerance(
        r"update .* of a3 to .*|get the changed \$a3", "over a reference to an issue stock's code raises", _accept_status(200)
    ),
    # HTTP.
    Tolerance(
        "embeddings take no GET",
        "where the method is wrong, stock hands on to its other web framework, which does not know the address",
        _accept_status(405),
    ),
    Tolerance(
        "HEAD /health|proxy head",
        "HEAD has the headers of GET; stock's comes from another of its two web frameworks",
        _without_headers("content-type", "cache-control"),
    ),
    Tolerance("(GET|HEAD) (/|/static-files/.*)", "the UI's files are also there compressed", _forget_compression),
    Tolerance(
        "Origin http://LOCALHOST:80 .*",
        "browsers write an origin in lower case; of stock's two CORS layers one would take this",
        _without_headers("access-control-allow-origin"),
    ),
    Tolerance(
        "Origin https://localhost:1 .*",
        "pages that may send may read; stock has two rules, by one of which local ones by https may send",
        _without_headers("access-control-allow-origin"),
    ),
    Tolerance(
        r"Host (LOCALHOST|\[fd00::1\]:80)",
        "names of hosts have no case, and private addresses of IPv6 stand in brackets",
        _accept_status(200),
    ),
    Tolerance(
        r"Host (10|192\.168)\.evil\.com",
        "under stock a pattern of private addresses lets in names that begin like one",
        _accept_status(403),
    ),
    Tolerance(
        "spans to an address with a slash|spans headers .*(APPLICATION/JSON|identity).*",
        "stock knows neither this address nor these words, which say nothing wrong",
        _accept_status(200),
    ),
    Tolerance(
        "spans headers .*application/protobuf.*",
        "stock does not know the registered name; the body is none",
        _accept_status(400),
    ),
    Tolerance(
        "POST experiments//get",
        "slashes too many are answered alike for all methods; the address without them says 405",
        _accept_status(308),
    ),
    Tolerance(
        "(GET|POST) /api/2.0/mlflow/experiments%2fget|GET logged-models/..%2f..%2fx",
        "an encoded slash is no separator",
        _accept_status(404),
    ),
    Tolerance(
        "delete a tag by an encoded key",
        "an encoded slash is no separator: stock cannot delete such a tag at all",
        _accept_status(200),
    ),
    Tolerance(
        "GET search traces", "no trace is called so: this address takes POST only", _accept_status(405)
    ),
    Tolerance(
        "GET logged-models/search", "no model is called so: this address takes POST only", _accept_status(405)
    ),
    Tolerance(
        "proxy range bytes=0-1,3-4",
        "several ranges at once, which no known client asks, are answered with the whole file",
        _accept_status(200),
    ),
    # Files.
    Tolerance(
        "(proxy get|get-artifact) .*",
        "Python asks the machine's /etc/mime.types for endings that it does not know",
        _forget_type_beyond_python,
    ),
    Tolerance(
        r".*('a\\\\..\\\\b'|'a\\x00b'|'sub%5c..%5cx'|'a%00b')",
        "a path that climbs on a system where a backslash separates, and a NUL byte, are refused",
        _accept_code(400, "INVALID_PARAMETER_VALUE"),
    ),
    Tolerance(
        "(put|proxy get) bad path 'a%0ab.txt'", "stock's router stops at a line break", _accept_status(200)
    ),
    # Databases.
    Tolerance(
        "all odd metrics|latest of the series",
        "stock's driver for PostgreSQL writes numbers as decimals, which have no negative zero",
        _forget_negative_zero,
    ),
    Tolerance(
        ".*max_results.*-1.*",
        "a negative limit is refused; SQLite under stock takes it for none, PostgreSQL fails",
        _accept_code(400, "INVALID_PARAMETER_VALUE"),
    ),
    Tolerance(
        ".*eyJvZmZzZXQiOiAtMX0=.*",
        "nobody hands out a token of a negative offset; SQLite under stock takes it for 0, PostgreSQL fails",
        _accept_status(200),
    ),
]


def _forget_framework(stock: Comparable, ours: Comparable) -> None:
    """Forgets what of an artifact's answer is not the file: how nothing is said, what caches may do, why there is none."""
    if min(stock["status"], ours["status"]) >= 400:
        _forget_all(stock, ours)
    _without_headers("cache-control")(stock, ours)
    if (stock["body"], ours["body"]) == ({}, ""):
        _without_headers("content-type")(stock, ours)
        _forget_body(stock, ours)


#: Only where both servers have a prefix.
TOLERATED_BELOW_PREFIX = [
    Tolerance(
        r"put .*|file of an old trace, put|proxy (get|range|head) .*|GET /api/2.0/mlflow-artifacts/artifacts/ .*",
        "stock serves artifacts by one of its two web frameworks without the prefix, and by the other below it",
        _forget_framework,
    ),
]


#: Which tolerances some case has needed in this process, by their cases and reason.
needed: set[str] = set()


def forget_tolerated(name: str, stock: Comparable, ours: Comparable, *, below_prefix: bool = False) -> None:
    """Removes from two answers what is tolerated for this case."""
    for tolerance in TOLERATED + (TOLERATED_BELOW_PREFIX if below_prefix else []):
        if stock == ours:
            return
        if re.fullmatch(tolerance.cases, name, flags=re.DOTALL):
            before = copy.deepcopy((stock, ours))
            tolerance.forget(stock, ours)
            if before != (stock, ours):
                needed.add(tolerance.name)
