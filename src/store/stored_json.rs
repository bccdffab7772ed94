//! JSON that columns hold. What does not parse is an error that names its place, not an empty value: the next update of the
//! row would store the loss.

use serde::de::DeserializeOwned;
use tracing::warn;

use crate::domain::{Error, ErrorCode, Result};

/// Reads the JSON of a `column`, which is named with its table, in the row of the id `row`.
///
/// # Errors
/// `INTERNAL_ERROR`, as by stock, for what is not the JSON that it should be; the log has a warning with the place. Neither
/// says what stands there.
pub(super) fn read_json<T: DeserializeOwned>(text: &str, column: &'static str, row: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| {
        let (kind, line, place) = (e.classify(), e.line(), e.column());
        warn!("{column} of '{row}' cannot be read: {kind:?} error in its JSON, line {line}, column {place}");
        Error::new(
            ErrorCode::InternalError,
            format!("{column} of '{row}' cannot be read: it is not valid JSON."),
        )
    })
}

/// The same for a column that may hold nothing: NULL or an empty text.
///
/// # Errors
/// As [`read_json`].
pub(super) fn read_json_if_any<T: DeserializeOwned>(
    text: Option<&str>,
    column: &'static str,
    row: &str,
) -> Result<Option<T>> {
    text.filter(|text| !text.is_empty()).map(|text| read_json(text, column, row)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named_and_not_shown() {
        assert_eq!(read_json_if_any::<Vec<i32>>(Some(""), "t.c", "r").unwrap(), None);
        assert_eq!(read_json_if_any::<Vec<i32>>(Some("[1]"), "t.c", "r").unwrap(), Some(vec![1]));
        for text in ["[1", "\"secret\"", "{\"secret\": 1}"] {
            let error = read_json::<Vec<i32>>(text, "t.c", "r").unwrap_err();
            assert_eq!(error.code, ErrorCode::InternalError);
            assert!(
                error.to_string().contains("t.c of 'r'") && !error.to_string().contains("secret"),
                "{error}"
            );
        }
    }
}
