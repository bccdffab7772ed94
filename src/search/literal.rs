//! The list after `IN`. Stock parses it with Python's `literal_eval`, so quoting, escapes, trailing commas
//! and concatenation of adjacent strings are Python's.

use crate::domain::python::repr;
use crate::domain::{Error, Result};

/// A list item; only texts are valid.
enum Item {
    Text(String),
    Tuple(Vec<Self>),
    /// Another literal, as written.
    Other(String),
}

impl Item {
    fn repr(&self) -> String {
        match self {
            Self::Text(text) => repr(text),
            Self::Tuple(items) => repr_tuple(items),
            Self::Other(text) => text.clone(),
        }
    }
}

fn repr_tuple(items: &[Item]) -> String {
    let inside = items.iter().map(Item::repr).collect::<Vec<_>>().join(", ");
    if items.len() == 1 { format!("({inside},)") } else { format!("({inside})") }
}

/// Parses a parenthesised string list.
///
/// Upstream: `SearchUtils._parse_list_from_sql_token`.
pub(super) fn strings(text: &str) -> Result<Vec<String>> {
    let mut reader = Reader { rest: text };
    let items = match reader.item(0) {
        Some(Item::Tuple(items)) if reader.at_end() => items,
        Some(item) if reader.at_end() => vec![item],
        _ => {
            return Err(Error::invalid(
                "While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.",
            ));
        }
    };
    if items.is_empty() {
        return Err(Error::invalid(
            "While parsing a list in the query, expected a non-empty list of string values, but got empty list",
        ));
    }
    if items.iter().any(|item| !matches!(item, Item::Text(_))) {
        return Err(Error::invalid(format!(
            "While parsing a list in the query, expected string value, punctuation, or whitespace, but got different \
             type in list: {}",
            repr_tuple(&items)
        )));
    }
    Ok(items
        .into_iter()
        .filter_map(|item| if let Item::Text(text) = item { Some(text) } else { None })
        .collect())
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{c}']);
    }

    fn take(&mut self, mark: char) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn at_end(&mut self) -> bool {
        self.skip_space();
        self.rest.is_empty()
    }

    /// `depth` is the nesting depth.
    fn item(&mut self, depth: usize) -> Option<Item> {
        self.skip_space();
        if self.rest.starts_with('(') && depth < 100 {
            return self.tuple(depth + 1);
        }
        if self.opens_string().is_some() {
            let mut text = String::new();
            while let Some(prefix) = self.opens_string() {
                let is_raw = self.rest[..prefix].contains(['r', 'R']);
                self.rest = &self.rest[prefix..];
                self.string(is_raw, &mut text)?;
                self.skip_space();
            }
            return Some(Item::Text(text));
        }
        let len = self.rest.find([',', ')']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(len);
        let word = word.trim_end();
        let is_literal = matches!(word, "None" | "True" | "False" | "...") || word.parse::<f64>().is_ok();
        self.rest = rest;
        (is_literal && !word.is_empty()).then(|| Item::Other(word.to_owned()))
    }

    fn tuple(&mut self, depth: usize) -> Option<Item> {
        self.rest = self.rest.strip_prefix('(')?;
        let mut items = Vec::new();
        let mut has_comma = false;
        while !self.take(')') {
            if !items.is_empty() && !has_comma {
                return None;
            }
            items.push(self.item(depth)?);
            has_comma = self.take(',');
        }
        // One item in parentheses without a comma is no tuple.
        if items.len() == 1 && !has_comma { items.pop() } else { Some(Item::Tuple(items)) }
    }

    /// Returns the length of a string prefix.
    fn opens_string(&self) -> Option<usize> {
        let prefix = self.rest.find(['\'', '"'])?;
        matches!(&self.rest[..prefix], "" | "r" | "R" | "u" | "U").then_some(prefix)
    }

    /// Parses one string literal, and appends it to `text`.
    fn string(&mut self, is_raw: bool, text: &mut String) -> Option<()> {
        let quote = self.rest.get(..1)?;
        let triple = quote.repeat(3);
        let is_long = self.rest.starts_with(&triple);
        let close = if is_long { triple.as_str() } else { quote };
        let mut rest = self.rest.get(close.len()..)?;
        loop {
            if let Some(after) = rest.strip_prefix(close) {
                self.rest = after;
                return Some(());
            }
            let c = rest.chars().next()?;
            rest = &rest[c.len_utf8()..];
            match c {
                '\n' | '\r' if !is_long => return None,
                '\\' if is_raw => {
                    let next = rest.chars().next()?;
                    text.extend(['\\', next]);
                    rest = &rest[next.len_utf8()..];
                }
                '\\' => rest = escape(rest, text)?,
                c => text.push(c),
            }
        }
    }
}

/// Parses an escape sequence and returns the rest.
fn escape<'a>(rest: &'a str, text: &mut String) -> Option<&'a str> {
    let c = rest.chars().next()?;
    let after = &rest[c.len_utf8()..];
    let coded = |len: usize| {
        let code = u32::from_str_radix(after.get(..len)?, 16).ok()?;
        Some((char::from_u32(code)?, after.get(len..)?))
    };
    let (plain, after) = match c {
        '\n' => return Some(after),
        '\\' | '\'' | '"' => (c, after),
        'a' => ('\u{7}', after),
        'b' => ('\u{8}', after),
        'f' => ('\u{c}', after),
        'n' => ('\n', after),
        'r' => ('\r', after),
        't' => ('\t', after),
        'v' => ('\u{b}', after),
        'x' => coded(2)?,
        'u' => coded(4)?,
        'U' => coded(8)?,
        '0'..='7' => {
            let len = rest.chars().take(3).take_while(|c| ('0'..='7').contains(c)).count();
            let code = u32::from_str_radix(rest.get(..len)?, 8).ok()?;
            (char::from_u32(code)?, rest.get(len..)?)
        }
        c => {
            text.push('\\');
            (c, after)
        }
    };
    text.push(plain);
    Some(after)
}
