//! JSON as Python's `json` module reads and writes it, for requests that the typed reader refuses: bare `NaN`
//! and infinities, numbers of any size, lone surrogates, duplicate keys (the last one wins).
//!
//! Upstream: Python's `json.loads`, which stock reads every body with.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::outline::MAX_DEPTH;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer, by its digits.
    Int(String),
    /// Any other number; also `NaN`, the infinities and what is too large for a double.
    Float(f64),
    /// A string.
    Str(String),
    /// A string with a lone surrogate, which is replaced by U+FFFD.
    Torn(String),
    /// A list.
    List(Vec<Self>),
    /// An object with any duplicate keys.
    Object(Vec<(String, Self)>),
}

/// Python's limit on digits of an integer.
const MAX_DIGITS: usize = 4300;

impl Json {
    /// Parses a text; `None` if Python would refuse it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)).ok()?;
        let mut reader = Reader { rest: text };
        let value = reader.value(0)?;
        reader.skip_space();
        reader.rest.is_empty().then_some(value)
    }

    /// Returns the value of `key`, if this is an object that has it: the last one.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().rfind(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Says whether this counts as no value at all where one is required.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Str(text) => text.is_empty(),
            _ => false,
        }
    }

    /// Writes the value as `json.dumps` does with sorted keys and without spaces.
    pub fn dumps(&self) -> String {
        self.written(&Style { item: ",", field: ":", is_sorted: true })
    }

    /// Writes the value as `json.dumps` does: with spaces, and the keys in the order of their first appearance.
    pub fn dumps_spaced(&self) -> String {
        self.written(&Style { item: ", ", field: ": ", is_sorted: false })
    }

    /// Writes the value as `json.dumps` does with sorted keys.
    pub fn dumps_sorted(&self) -> String {
        self.written(&Style { item: ", ", field: ": ", is_sorted: true })
    }

    fn written(&self, style: &Style) -> String {
        let mut out = String::new();
        self.write(style, &mut out);
        out
    }

    fn write(&self, style: &Style, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(digits) => out.push_str(digits),
            Self::Float(value) if value.is_nan() => out.push_str("NaN"),
            Self::Float(value) if value.is_infinite() => {
                out.push_str(if *value > 0.0 { "Infinity" } else { "-Infinity" });
            }
            Self::Float(value) => out.push_str(&float_text(*value)),
            Self::Str(text) | Self::Torn(text) => write_string(text, out),
            Self::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { style.item });
                    item.write(style, out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                let mut fields = last_of_each(fields);
                if style.is_sorted {
                    fields.sort_by_key(|(name, _)| *name);
                }
                out.push('{');
                for (i, (name, value)) in fields.into_iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { style.item });
                    write_string(name, out);
                    out.push_str(style.field);
                    value.write(style, out);
                }
                out.push('}');
            }
        }
    }

    /// Returns the name of the value's type in Python.
    pub const fn python_type(&self) -> &'static str {
        match self {
            Self::Null => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) | Self::Torn(_) => "str",
            Self::List(_) => "list",
            Self::Object(_) => "dict",
        }
    }

    /// Returns the nearest value that strict JSON can write.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(digits) => digits.parse::<i64>().map_or_else(|_e| digits.as_str().into(), Value::from),
            Self::Float(value) if value.is_finite() => (*value).into(),
            Self::Float(_) => self.dumps().into(),
            Self::Str(text) | Self::Torn(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(Self::to_value).collect(),
            Self::Object(fields) => {
                Value::Object(fields.iter().map(|(k, v)| (k.clone(), v.to_value())).collect())
            }
        }
    }
}

/// How a value is written.
struct Style {
    /// What stands between two items or fields.
    item: &'static str,
    /// What stands between the name and the value of a field.
    field: &'static str,
    is_sorted: bool,
}

/// Returns the fields of an object as a Python `dict`: each where it came first, with its last value.
pub fn last_of_each(fields: &[(String, Json)]) -> Vec<(&str, &Json)> {
    let mut kept: Vec<(&str, &Json)> = Vec::with_capacity(fields.len());
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(fields.len());
    for (name, value) in fields {
        let place = *places.entry(name).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(field) => field.1 = value,
            None => kept.push((name, value)),
        }
    }
    kept
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Self {
        Self::Int(number.to_string())
    }
}

/// Formats a finite float as Python does: the shortest that round-trips, with an exponent from 1e16 on.
pub fn float_text(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Writes a string with non-ASCII escaped.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// Parses an integer as `int(text)` does: with surrounding spaces, a sign, and single underscores inside.
/// `None` for anything else and for numbers beyond 128 bits.
pub fn int(text: &str) -> Option<i128> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty()
        && digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    if is_number { text.replace('_', "").parse().ok() } else { None }
}

/// Parses a float as `float(text)` does.
pub fn float(text: &str) -> Option<f64> {
    let text = text.trim();
    let mut neighbours = text.as_bytes().windows(3).filter(|w| w.get(1) == Some(&b'_'));
    let is_between_digits =
        |w: &[u8]| [w.first(), w.last()].iter().all(|b| b.is_some_and(u8::is_ascii_digit));
    if text.starts_with('_') || text.ends_with('_') || !neighbours.all(is_between_digits) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        self.skip_space();
        if depth > MAX_DEPTH {
            return None;
        }
        match self.rest.bytes().next()? {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => self.string(),
            _ => self.word().or_else(|| self.number()),
        }
    }

    fn word(&mut self) -> Option<Json> {
        let words = [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Float(f64::NAN)),
            ("Infinity", Json::Float(f64::INFINITY)),
            ("-Infinity", Json::Float(f64::NEG_INFINITY)),
        ];
        words.into_iter().find_map(|(word, value)| self.take(word).map(|()| value))
    }

    fn number(&mut self) -> Option<Json> {
        let text = self.rest;
        let digits = |from: &str| from.len() - from.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let mut end = usize::from(text.starts_with('-'));
        end += match digits(text.get(end..)?) {
            0 => return None,
            _ if text.get(end..)?.starts_with('0') => 1,
            count => count,
        };
        let whole = end;
        if let Some(fraction) = text.get(end..)?.strip_prefix('.') {
            end += match digits(fraction) {
                0 => 0,
                count => count + 1,
            };
        }
        if let Some(exponent) = text.get(end..)?.strip_prefix(['e', 'E']) {
            let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            end += match digits(unsigned) {
                0 => 0,
                count => 1 + exponent.len() - unsigned.len() + count,
            };
        }
        let (number, rest) = text.split_at(end);
        self.rest = rest;
        if end > whole {
            return number.parse().ok().map(Json::Float);
        }
        let is_zero = number.trim_start_matches('-') == "0";
        (whole <= MAX_DIGITS).then(|| Json::Int(if is_zero { "0" } else { number }.to_owned()))
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        self.take("[")?;
        self.skip_space();
        let mut items = Vec::new();
        if self.take("]").is_some() {
            return Some(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take("]").is_some() {
                return Some(Json::List(items));
            }
            self.take(",")?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.take("{")?;
        self.skip_space();
        let mut fields: Vec<(String, Json)> = Vec::new();
        if self.take("}").is_some() {
            return Some(Json::Object(fields));
        }
        loop {
            self.skip_space();
            let (Json::Str(name) | Json::Torn(name)) = self.string()? else { return None };
            self.skip_space();
            self.take(":")?;
            let value = self.value(depth + 1)?;
            fields.push((name, value));
            self.skip_space();
            if self.take("}").is_some() {
                return Some(Json::Object(fields));
            }
            self.take(",")?;
        }
    }

    fn string(&mut self) -> Option<Json> {
        self.take("\"")?;
        let mut units: Vec<u16> = Vec::new();
        let mut text = String::new();
        let mut is_torn = false;
        loop {
            let c = self.rest.chars().next()?;
            self.rest = self.rest.get(c.len_utf8()..)?;
            let escaped = match c {
                '\\' => self.escape()?,
                c => Ok(c),
            };
            if let Err(unit) = escaped {
                units.push(unit);
                continue;
            }
            // Adjacent escapes of a surrogate pair make one character.
            is_torn |= flush(&mut units, &mut text);
            match escaped {
                Ok('"') if c == '"' => break,
                Ok(plain) if c != '\\' && plain < ' ' => return None,
                Ok(plain) => text.push(plain),
                Err(_) => {}
            }
        }
        Some(if is_torn { Json::Torn(text) } else { Json::Str(text) })
    }

    /// Parses an escape sequence: a character, or a lone UTF-16 unit.
    fn escape(&mut self) -> Option<Result<char, u16>> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..)?;
        let plain = match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let digits = self.rest.get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
                self.rest = self.rest.get(4..)?;
                let unit = u16::from_str_radix(digits, 16).ok()?;
                return Some(char::from_u32(unit.into()).ok_or(unit));
            }
            _ => return None,
        };
        Some(Ok(plain))
    }
}

/// Decodes UTF-16 units into `text`; says whether one was unpaired.
fn flush(units: &mut Vec<u16>, text: &mut String) -> bool {
    let mut is_torn = false;
    for c in char::decode_utf16(units.drain(..)) {
        is_torn |= c.is_err();
        text.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    is_torn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dumps(text: &str) -> Option<String> {
        Json::parse(text.as_bytes()).map(|json| json.dumps())
    }

    /// Expected values were taken from Python's `json`.
    #[test]
    fn texts_are_read_and_written_as_in_python() {
        for (text, want) in [
            (" [1, -0, 1.50, 1e2, 1E-7, -12.5e+3] ", "[1,0,1.5,100.0,1e-07,-12500.0]"),
            ("[NaN, Infinity, -Infinity, 1e999, -1e999]", "[NaN,Infinity,-Infinity,Infinity,-Infinity]"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            (r#"{"b": 1, "a": {"x": null}, "b": [true, false]}"#, r#"{"a":{"x":null},"b":[true,false]}"#),
            (r#""é\n\u00e9\ud83d\ude00\/\"""#, r#""\u00e9\n\u00e9\ud83d\ude00/\"""#),
            ("\u{feff}{}", "{}"),
            ("\t[\r\n]\n", "[]"),
        ] {
            assert_eq!(dumps(text).as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn objects_keep_their_order_or_are_sorted() {
        let json = Json::parse(br#"{"b": [1, 2], "a": {"d": "\u00e9", "c": NaN}, "b": true}"#).unwrap();
        assert_eq!(json.dumps_spaced(), r#"{"b": true, "a": {"d": "\u00e9", "c": NaN}}"#);
        assert_eq!(json.dumps_sorted(), r#"{"a": {"c": NaN, "d": "\u00e9"}, "b": true}"#);
    }

    #[test]
    fn other_texts_are_no_json() {
        for text in [
            "",
            " ",
            "nul",
            "{",
            "[1,]",
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "{a: 1}",
            "{'a': 1}",
            "[1 2]",
            "1 x",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "0x1",
            "\"a",
            "\"a\nb\"",
            r#""\x""#,
            r#""\u12""#,
            "// c\n1",
            "nan",
            "Inf",
        ] {
            assert_eq!(dumps(text), None, "{text}");
        }
        assert_eq!(Json::parse(b"\"\xff\""), None);
        assert_eq!(dumps(&"[".repeat(2000)), None);
        assert_eq!(dumps(&"1".repeat(5000)), None);
    }

    #[test]
    fn half_a_surrogate_pair_is_no_text() {
        assert_eq!(Json::parse(br#""a\ud800""#), Some(Json::Torn("a\u{fffd}".into())));
        assert_eq!(Json::parse(br#""\udc00\ud800x""#), Some(Json::Torn("\u{fffd}\u{fffd}x".into())));
        assert_eq!(Json::parse(br#""\ud83d\ude00""#), Some(Json::Str("😀".into())));
    }

    #[test]
    fn numbers_in_strings_are_read_as_in_python() {
        for (text, whole, broken) in [
            (" 12 ", Some(12), Some(12.0)),
            ("+1", Some(1), Some(1.0)),
            ("-1_000", Some(-1000), Some(-1000.0)),
            ("1__0", None, None),
            ("_1", None, None),
            ("1_", None, None),
            ("1.5", None, Some(1.5)),
            ("1_0.2_5e1_0", None, Some(1_025e8)),
            ("1_.5", None, None),
            ("inf", None, Some(f64::INFINITY)),
            ("", None, None),
            ("+", None, None),
            ("0x10", None, None),
        ] {
            assert_eq!((int(text), float(text)), (whole, broken), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(text in ".*", number in any::<i64>(), fraction in -1e300..1e300) {
            let list = Json::List(vec![Json::Str(text.clone()), number.into(), Json::Float(fraction)]);
            let object = Json::Object(vec![(text, list)]);
            prop_assert_eq!(Json::parse(object.dumps().as_bytes()), Some(object));
        }

        #[test]
        fn strict_json_is_read_alike(text in "[\\[\\]{}\",:0-9a-e.+\\\\ -]{0,20}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let read = Json::parse(text.as_bytes()).map(|json| json.to_value());
                prop_assert_eq!(read.map(|v| v.to_string()), Some(value.to_string()));
            }
        }
    }
}
