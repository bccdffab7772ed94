//! Values written as Python writes them, where stock's messages and tokens contain them, and read as it reads them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::proto::loose;

/// Writes a string as `json.dumps` does: everything beyond ASCII escaped.
pub fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    loose::write_string(text, &mut out);
    out
}

/// Writes a string as `repr` does.
pub fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() || matches!(c, '\u{a0}' | '\u{ad}') => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            '\u{2000}'..='\u{200f}'
            | '\u{2028}'..='\u{202f}'
            | '\u{205f}'..='\u{206f}'
            | '\u{3000}'
            | '\u{feff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// Writes a float as `str` does: the shortest digits that read back, with an exponent from 1e16 on.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    loose::float_text(value)
}

/// Writes a list of strings as `repr` does.
pub fn list<S: AsRef<str>>(texts: &[S]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| repr(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// Writes what `json.loads` makes of `value` as `repr` does.
pub fn json_repr(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(number) => float(number),
            None => number.to_string(),
        },
        Value::String(text) => repr(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(json_repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{}: {}", repr(name), json_repr(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Writes what `json.loads` makes of `value` as `json.dumps` does.
pub fn json_dumps(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(_) => json_repr(value),
        Value::String(text) => json_string(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(json_dumps).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let field =
                |(name, value): (&String, &Value)| format!("{}: {}", json_string(name), json_dumps(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Writes bytes as `repr` does.
pub fn bytes_repr(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = format!("b{quote}");
    for &byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            byte if char::from(byte) == quote => out.extend(['\\', quote]),
            b' '..=b'~' => out.push(char::from(byte)),
            byte => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(quote);
    out
}

/// Reads a whole number as `int(text)` does: with spaces around it, a sign, and single underscores inside. `None` for
/// anything else and for numbers beyond 64 bits.
pub fn parse_int(text: &str) -> Option<i64> {
    loose::int(text).and_then(|number| i64::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_in_python() {
        for (text, json, python) in [
            ("a", "\"a\"", "'a'"),
            ("a'b", "\"a'b\"", "\"a'b\""),
            ("a'b\"c", "\"a'b\\\"c\"", "'a\\'b\"c'"),
            ("é\n", "\"\\u00e9\\n\"", "'é\\n'"),
            ("😀", "\"\\ud83d\\ude00\"", "'😀'"),
            ("\u{1}", "\"\\u0001\"", "'\\x01'"),
            ("\u{a0}\u{200b}", "\"\\u00a0\\u200b\"", "'\\xa0\\u200b'"),
        ] {
            assert_eq!(json_string(text), json);
            assert_eq!(repr(text), python);
        }
    }

    #[test]
    fn json_is_written_as_in_python() {
        let value = serde_json::from_str(r#"{"b":[1,1.0,1e20,null],"a":{"é":true},"c":[],"d":{}}"#).unwrap();
        assert_eq!(
            json_dumps(&value),
            r#"{"b": [1, 1.0, 1e+20, null], "a": {"\u00e9": true}, "c": [], "d": {}}"#
        );
    }

    #[test]
    fn floats_are_written_as_in_python() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e16, "1e+16"),
            (1e-5, "1e-05"),
            (1.5e300, "1.5e+300"),
            (123_456_789.0, "123456789.0"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn lists_and_bytes_are_written_as_in_python() {
        assert_eq!(list(&["a", "it's"]), "['a', \"it's\"]");
        assert_eq!(bytes_repr(b"{\"a\": '\xff"), "b'{\"a\": \\'\\xff'");
        let value = serde_json::json!({"a": [1, null, true, "x", 1e-7]});
        assert_eq!(json_repr(&value), "{'a': [1, None, True, 'x', 1e-07]}");
    }

    #[test]
    fn whole_numbers_are_read_as_in_python() {
        for (text, want) in [
            (" 12 ", Some(12)),
            ("+1", Some(1)),
            ("-1_000", Some(-1000)),
            ("1__0", None),
            ("_1", None),
            ("1.0", None),
            ("", None),
            ("+", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_int(text), want, "{text}");
        }
    }
}
