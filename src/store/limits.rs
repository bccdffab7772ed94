//! What SQLite refuses because a request asks for more of something than fits into one statement, by its texts, which are
//! not translated.

/// Each limit by the text of its error, and what the client reads.
const LIMITS: [(&str, &str); 7] = [
    ("too many SQL variables", "The request has more values than the database takes at once."),
    ("Expression tree is too large", "The request has more conditions than the database takes at once."),
    ("parser stack overflow", "The request has more conditions than the database takes at once."),
    (
        "tables in a join",
        "The request has more conditions on different keys than the database takes at once.",
    ),
    ("too many terms in compound SELECT", "The request has more parts than the database takes at once."),
    (
        "LIKE or GLOB pattern too complex",
        "A pattern of LIKE in the request is longer than the database takes.",
    ),
    ("string or blob too big", "A value of the request is larger than the database takes."),
];

/// Returns what is too much about a request, if that is what the database says.
pub(super) fn exceeded(message: &str) -> Option<&'static str> {
    LIMITS.iter().find(|(text, _)| message.contains(text)).map(|(_, said)| *said)
}
