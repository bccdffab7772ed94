//! Text → tokens. Every character of the input belongs to exactly one token, so a span of tokens is a slice
//! of the text. The tokens are those of MLflow's SQL tokenizer, since its corner cases (`--` opens a comment,
//! `1e+3` is no number, `metrics.a-1` holds the number -1) decide what is accepted and what an error says.
//!
//! Upstream: `sqlparse` 0.6, as `mlflow.utils.search_utils` uses it.

use super::keywords;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    Newline,
    LineComment,
    BlockComment,
    Assignment,
    Punctuation,
    Wildcard,
    /// A word, or anything in backticks or square brackets.
    Name,
    Placeholder,
    Command,
    Keyword,
    /// `SELECT`, `CREATE`, `WITH` and the like.
    Statement,
    /// `ASC` and `DESC`.
    Order,
    /// A type name.
    Builtin,
    Hexadecimal,
    Float,
    Integer,
    /// A single-quoted text.
    Text,
    /// A double-quoted text.
    Symbol,
    /// A dollar-quoted text.
    Dollar,
    Comparison,
    Operator,
    Unknown,
}

/// A span of the text, from `start` up to `end` (bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Splits `text` into tokens; infallible: what matches no rule is [`Kind::Unknown`].
pub(super) fn tokenize(text: &str) -> Vec<Token> {
    let mut found = Vec::with_capacity(text.len() / 3 + 1);
    found.extend(tokens(text));
    found
}

/// Iterates over tokens of `text`.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let first = text[start..].chars().next()?;
        let (kind, len) = Cursor { text, start, rest: &text[start..], first }.token();
        let token = Token { kind, start, end: start + len };
        start = token.end;
        Some(token)
    })
}

/// A position in the text, with cached look-ahead.
struct Cursor<'a> {
    text: &'a str,
    start: usize,
    rest: &'a str,
    first: char,
}

type Found = Option<(Kind, usize)>;

impl Cursor<'_> {
    /// Returns the token at the cursor and its length. The order of the rules is part of the language.
    fn token(&self) -> (Kind, usize) {
        self.comment()
            .or_else(|| self.space())
            .or_else(|| self.quoted_name())
            .or_else(|| self.placeholder())
            .or_else(|| self.plain_word())
            .or_else(|| self.number())
            .or_else(|| self.quoted_text())
            .or_else(|| self.phrase())
            .or_else(|| self.word())
            .or_else(|| self.symbol())
            .unwrap_or((Kind::Unknown, self.first.len_utf8()))
    }

    /// The character before the cursor.
    fn before(&self) -> Option<char> {
        self.text[..self.start].chars().next_back()
    }

    fn comment(&self) -> Found {
        if let Some(body) = self.rest.strip_prefix("/*") {
            // `/*+ … */` must be closed after the plus.
            let skip = usize::from(body.starts_with('+'));
            return body[skip..].find("*/").map(|at| (Kind::BlockComment, 2 + skip + at + 2));
        }
        if self.first == '$' && !self.before().is_some_and(|c| is_word(c) || c == '"' || c == '$') {
            let tag_len = self.rest[1..].find('$').map(|at| at + 2)?;
            let tag = &self.rest[..tag_len];
            let name = &tag[1..tag_len - 1];
            if name.is_empty() || (name.starts_with(is_letter_or_underscore) && name_len(name) == name.len())
            {
                return self.rest[tag_len..].find(tag).map(|at| (Kind::Dollar, tag_len + at + tag_len));
            }
            return None;
        }
        if !self.rest.starts_with("--") && !self.rest.starts_with("# ") {
            return None;
        }
        let len = match self.rest.find(['\r', '\n']) {
            Some(at) => at + newline_len(&self.rest[at..]),
            None => self.rest.len(),
        };
        Some((Kind::LineComment, len))
    }

    fn space(&self) -> Found {
        match self.first {
            '\r' | '\n' => Some((Kind::Newline, newline_len(self.rest))),
            c if is_space(c) => Some((Kind::Space, c.len_utf8())),
            ':' if self.rest.starts_with(":=") => Some((Kind::Assignment, 2)),
            ':' if self.rest.starts_with("::") => Some((Kind::Punctuation, 2)),
            '*' => Some((Kind::Wildcard, 1)),
            _ => None,
        }
    }

    fn quoted_name(&self) -> Found {
        match self.first {
            '`' | '´' => delimited_len(self.rest, self.first, false).map(|len| (Kind::Name, len)),
            _ => None,
        }
    }

    fn placeholder(&self) -> Found {
        let after = &self.rest[self.first.len_utf8()..];
        match self.first {
            '?' => return Some((Kind::Placeholder, 1)),
            '%' => {
                if after.starts_with(['s', 'S']) {
                    return Some((Kind::Placeholder, 2));
                }
                let len = word_len(after.strip_prefix('(')?);
                let closed =
                    after[1 + len..].strip_prefix(')').is_some_and(|end| end.starts_with(['s', 'S']));
                return (len > 0 && closed).then_some((Kind::Placeholder, 1 + 1 + len + 2));
            }
            _ => {}
        }
        let len = word_len(after);
        match self.first {
            '$' | ':' if len > 0 && !self.before().is_some_and(is_word) => Some((Kind::Placeholder, 1 + len)),
            '\\' if len > 0 => Some((Kind::Command, 1 + len)),
            _ => None,
        }
    }

    /// Words that their context makes names, and the keywords that no context changes.
    fn plain_word(&self) -> Found {
        if matches!(self.first, '@' | '#') {
            let marks = if self.rest.starts_with("##") { 2 } else { 1 };
            let word = &self.rest[marks..];
            let len = name_len(word);
            let long = word.chars().next().is_some_and(|c| is_letter(c) && len > c.len_utf8());
            return long.then_some((Kind::Name, marks + len));
        }
        if !is_letter(self.first) {
            return None;
        }
        let len = name_len(self.rest);
        let (word, after) = self.rest.split_at(len);
        if ["CASE", "IN", "VALUES", "USING", "FROM", "AS"]
            .iter()
            .any(|fixed| fixed.eq_ignore_ascii_case(word))
        {
            return Some((Kind::Keyword, len));
        }
        let named = after.starts_with('(')
            || self.before() == Some('.')
            || after
                .trim_start_matches(is_space)
                .strip_prefix('.')
                .is_some_and(|member| !member.starts_with(|c: char| c.is_ascii_digit()));
        named.then_some((Kind::Name, len))
    }

    fn number(&self) -> Found {
        let sign = usize::from(self.first == '-');
        let body = &self.rest[sign..];
        if let Some(hex) = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X")) {
            let len = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            if len > 0 {
                return Some((Kind::Hexadecimal, sign + 2 + len));
            }
        }
        let whole = digits_len(body);
        let (_, after) = body.split_at(whole);
        let fraction = after.strip_prefix('.').map(digits_len);
        if whole > 0 {
            let with_fraction = fraction.filter(|len| *len > 0).map(|len| whole + 1 + len);
            for mantissa in with_fraction.into_iter().chain([whole]) {
                if let Some(len) = exponent_len(&body[mantissa..]) {
                    return Some((Kind::Float, sign + mantissa + len));
                }
            }
        }
        if let Some(digits) = fraction {
            // A letter after the number takes the last digit along.
            let least = usize::from(whole == 0);
            let end = whole + 1 + digits;
            if digits >= least && !body[end..].starts_with(is_letter_or_underscore) {
                return Some((Kind::Float, sign + end));
            }
            if digits > least {
                return Some((Kind::Float, sign + end - 1));
            }
        }
        if !body[whole..].starts_with(is_letter_or_underscore) {
            return (whole > 0).then_some((Kind::Integer, sign + whole));
        }
        (whole > 1).then(|| (Kind::Integer, sign + whole - 1))
    }

    fn quoted_text(&self) -> Found {
        match self.first {
            '\'' => delimited_len(self.rest, '\'', true).map(|len| (Kind::Text, len)),
            '"' => delimited_len(self.rest, '"', true).map(|len| (Kind::Symbol, len)),
            '[' if !self.before().is_some_and(|c| is_word(c) || c == ']' || c == ')') => {
                let len = self.rest[1..].find(['[', ']'])?;
                (len > 0 && self.rest[1 + len..].starts_with(']')).then_some((Kind::Name, len + 2))
            }
            _ => None,
        }
    }

    /// Multi-word keywords.
    fn phrase(&self) -> Found {
        const PHRASES: [(&[&str], Kind); 22] = [
            (&["NOT", "NULL"], Kind::Keyword),
            (&["ASC", "NULLS", "FIRST"], Kind::Order),
            (&["ASC", "NULLS", "LAST"], Kind::Order),
            (&["ASC"], Kind::Order),
            (&["DESC", "NULLS", "FIRST"], Kind::Order),
            (&["DESC", "NULLS", "LAST"], Kind::Order),
            (&["DESC"], Kind::Order),
            (&["NULLS", "FIRST"], Kind::Order),
            (&["NULLS", "LAST"], Kind::Order),
            (&["UNION", "ALL"], Kind::Keyword),
            (&["DOUBLE", "PRECISION"], Kind::Builtin),
            (&["GROUP", "BY"], Kind::Keyword),
            (&["ORDER", "BY"], Kind::Keyword),
            (&["PRIMARY", "KEY"], Kind::Keyword),
            (&["NOT", "LIKE"], Kind::Comparison),
            (&["NOT", "ILIKE"], Kind::Comparison),
            (&["NOT", "RLIKE"], Kind::Comparison),
            (&["NOT", "REGEXP"], Kind::Comparison),
            (&["LIKE"], Kind::Comparison),
            (&["ILIKE"], Kind::Comparison),
            (&["RLIKE"], Kind::Comparison),
            (&["REGEXP"], Kind::Comparison),
        ];
        if !self.first.is_ascii_alphabetic() {
            return None;
        }
        PHRASES.iter().find_map(|(words, kind)| phrase_len(self.rest, words).map(|len| (*kind, len)))
    }

    fn word(&self) -> Found {
        if !is_word(self.first) {
            return None;
        }
        let len = self.rest.find(|c| !is_word(c) && c != '$' && c != '#').unwrap_or(self.rest.len());
        Some((keywords::classify(&self.rest[..len]), len))
    }

    fn symbol(&self) -> Found {
        const JSON: [&str; 9] = ["->>", "->", "#>>", "#>", "@>", "<@", "-", "#-", "?"];
        if ";:()[],.".contains(self.first) {
            return Some((Kind::Punctuation, 1));
        }
        if let Some(operator) = JSON.iter().find(|operator| self.rest.starts_with(**operator)) {
            return Some((Kind::Operator, operator.len()));
        }
        let run = |set: &str| self.rest.find(|c| !set.contains(c)).unwrap_or(self.rest.len());
        match run("<>=~!") {
            0 => Some((Kind::Operator, run("+/@#%^&|-"))).filter(|(_, len)| *len > 0),
            len => Some((Kind::Comparison, len)),
        }
    }
}

/// Returns the length of a text delimited by `quote`. Doubling escapes a quote, and with `escapes` so does a
/// backslash; if the text ends without a closing quote, the last escaped one closes it.
fn delimited_len(text: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut last_resort = None;
    let mut at = quote.len_utf8();
    loop {
        let rest = &text[at..];
        let c = rest.chars().next()?;
        let after = &rest[c.len_utf8()..];
        if c == quote && !after.starts_with(quote) {
            return Some(at + c.len_utf8());
        }
        if c == quote {
            last_resort = Some(at + c.len_utf8());
            at += 2 * c.len_utf8();
        } else if escapes && c == '\\' && after.starts_with(quote) {
            last_resort = Some(at + c.len_utf8() + quote.len_utf8());
            at += c.len_utf8() + quote.len_utf8();
        } else {
            at += c.len_utf8();
        }
        if at == text.len() {
            return last_resort;
        }
    }
}

/// Returns the length of `words` at the start of `text`, if they are there, separated by spaces.
fn phrase_len(text: &str, words: &[&str]) -> Option<usize> {
    let mut at = 0;
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            at += text[at..].find(|c| !is_space(c)).filter(|len| *len > 0)?;
        }
        if !text.get(at..at + word.len())?.eq_ignore_ascii_case(word) {
            return None;
        }
        at += word.len();
        if text[at..].starts_with(is_word) {
            return None;
        }
    }
    Some(at)
}

fn exponent_len(text: &str) -> Option<usize> {
    let body = text.strip_prefix(['e', 'E'])?;
    let sign = usize::from(body.starts_with('-'));
    let digits = digits_len(&body[sign..]);
    (digits > 0).then_some(1 + sign + digits)
}

fn newline_len(text: &str) -> usize {
    if text.starts_with("\r\n") { 2 } else { 1 }
}

fn digits_len(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

fn word_len(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// Returns the length of a character and the word that it begins, to which it belongs even where it is no letter: `×` is
/// among the Latin letters that names may begin with.
fn name_len(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    first + word_len(&text[first..])
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a name may begin with `c` where its neighbours make it one: what lies between the Latin letters up to ü, `×` too.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '\u{c0}'..='\u{dc}' | '\u{e0}'..='\u{f6}' | '\u{f8}'..='\u{fc}')
}

fn is_letter_or_underscore(c: char) -> bool {
    c == '_' || is_letter(c)
}

/// Whether `c` is whitespace; the four ASCII separators count.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}
