//! The shape of a JSON text, scanned before parsing: how many values it has, how deep they are nested, how
//! long its lists are. Parsing makes up to a hundred bytes of one, so oversized texts are refused by outline.
//!
//! The text need not be valid JSON: its parser decides that.

/// Nesting limit. Python gives up near 1000.
pub const MAX_DEPTH: usize = 900;
/// Structural characters up to which a text needs no outline.
const FEW_MARKS: usize = 8192;

/// What is known of a text before parsing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline<'a> {
    /// Values: items of lists and fields of objects.
    pub values: usize,
    /// Whether nesting exceeds [`MAX_DEPTH`]. What follows is not counted.
    pub is_too_deep: bool,
    /// The longest list of objects or of lists, by its name and the number of its items.
    pub longest_list: (&'a str, usize),
    /// Total items of the lists of each requested name.
    pub counts: Vec<usize>,
}

/// Says whether a text has too few values to exhaust memory, whatever they are.
pub fn is_small(text: &[u8]) -> bool {
    let marks = |part: &[u8]| part.iter().filter(|b| matches!(b, b',' | b'{' | b'[')).count();
    text.chunks(FEW_MARKS)
        .try_fold(0, |sum, part| Some(sum + marks(part)).filter(|sum| *sum <= FEW_MARKS))
        .is_some()
}

/// Limit on the values of JSON that is nested in a string.
const MAX_IN_TEXT: usize = 250_000;

/// Says whether JSON nested in a string is within the limits.
pub fn is_readable(text: &str) -> bool {
    let text = text.as_bytes();
    is_small(text) || Outline::of(text, &[]).values <= MAX_IN_TEXT
}

/// A list or an object that is open.
struct Frame<'a> {
    name: &'a [u8],
    is_list: bool,
    /// Whether an item is an object or a list.
    has_parts: bool,
    items: usize,
}

impl<'a> Outline<'a> {
    /// Scans `text`, and counts the items of the lists that have one of these names.
    pub fn of(text: &'a [u8], names: &[&str]) -> Self {
        let mut outline = Self { counts: vec![0; names.len()], ..Self::default() };
        let mut frames: Vec<Frame<'a>> = Vec::new();
        let (mut word, mut name): (&[u8], &[u8]) = (&[], &[]);
        let mut rest = text;
        while let Some((mark, after)) = next_mark(rest) {
            rest = after;
            match mark {
                b'"' => (word, rest) = string(after),
                b':' => name = word,
                b'{' | b'[' => {
                    if let Some(parent) = frames.last_mut() {
                        parent.has_parts = true;
                    }
                    outline.values += 1;
                    if frames.len() == MAX_DEPTH {
                        outline.is_too_deep = true;
                        break;
                    }
                    let name = std::mem::take(&mut name);
                    frames.push(Frame { name, is_list: mark == b'[', has_parts: false, items: 1 });
                }
                b',' => {
                    outline.values += 1;
                    if let Some(frame) = frames.last_mut() {
                        frame.items += 1;
                    }
                }
                _ => {
                    if let Some(frame) = frames.pop() {
                        outline.add(&frame, names);
                    }
                }
            }
        }
        // Unclosed ones count too.
        for frame in &frames {
            outline.add(frame, names);
        }
        outline
    }

    fn add(&mut self, frame: &Frame<'a>, names: &[&str]) {
        if !frame.is_list {
            return;
        }
        for (count, name) in self.counts.iter_mut().zip(names) {
            *count += if is_name(frame.name, name) { frame.items } else { 0 };
        }
        if frame.has_parts && frame.items > self.longest_list.1 {
            let name = std::str::from_utf8(frame.name).unwrap_or_default();
            self.longest_list = (name, frame.items);
        }
    }
}

/// Says whether a raw string unescapes to `name`, as in parsers, which take `\u0061` for the letter.
fn is_name(written: &[u8], name: &str) -> bool {
    if !written.contains(&b'\\') {
        return written == name.as_bytes();
    }
    // An escape has at most six bytes.
    let is_short = written.len() <= 6 * name.len();
    is_short
        && serde_json::from_slice::<String>(&[b"\"", written, b"\""].concat()).is_ok_and(|text| text == name)
}

/// Finds the next structural character.
fn next_mark(text: &[u8]) -> Option<(u8, &[u8])> {
    let at = text.iter().position(|b| matches!(b, b'"' | b':' | b',' | b'{' | b'}' | b'[' | b']'))?;
    Some((*text.get(at)?, text.get(at + 1..)?))
}

/// Splits off a raw string, after its opening quote.
fn string(text: &[u8]) -> (&[u8], &[u8]) {
    let mut from = 0;
    while let Some(length) = text.get(from..).and_then(|t| t.iter().position(|b| matches!(b, b'"' | b'\\'))) {
        let at = from + length;
        if text.get(at) == Some(&b'"') {
            return (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        }
        from = at + 2;
    }
    (text, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_lists_are_counted() {
        let text =
            br#"{"run_id": "a,[{\"", "metrics": [{"key": "x"}, {}, {}], "n": [1, 2], "m": {"metrics": [5]}}"#;
        let outline = Outline::of(text, &["metrics", "n", "absent"]);
        assert_eq!(outline.counts, [4, 2, 0]);
        assert_eq!(outline.longest_list, ("metrics", 3));
        assert!(!outline.is_too_deep);
        // The brackets of eight lists and objects, and six commas.
        assert_eq!(outline.values, 14);
    }

    #[test]
    fn names_are_known_however_they_are_written() {
        let text =
            br#"{"m\u0065trics": [1, 2], "\u006d\u0065trics": [3], "m\etrics": [4], "m\\u0065trics": [5]}"#;
        assert_eq!(Outline::of(text, &["metrics"]).counts, [3]);
    }

    #[test]
    fn texts_that_are_no_json_are_counted_as_far_as_they_go() {
        for (text, values) in
            [("", 0), ("}}]],", 1), ("[[[", 3), ("\"abc", 0), ("[\"a\\", 1), ("{\"a\":{\"b\":", 2)]
        {
            assert_eq!(Outline::of(text.as_bytes(), &[]).values, values, "{text}");
        }
        let open = "[{},".repeat(5);
        assert_eq!(Outline::of(open.as_bytes(), &[]).longest_list, ("", 2));
    }

    #[test]
    fn texts_of_many_values_are_not_read() {
        assert!(is_readable(&"{},".repeat(MAX_IN_TEXT / 3)));
        assert!(!is_readable(&"{},".repeat(MAX_IN_TEXT)));
    }

    #[test]
    fn what_is_too_deep_ends_it() {
        let deep = format!("{}[1,2,3]", "[".repeat(MAX_DEPTH));
        let outline = Outline::of(deep.as_bytes(), &[]);
        assert!(outline.is_too_deep);
        assert_eq!(outline.values, MAX_DEPTH + 1);
        assert!(!Outline::of(deep.get(1..).unwrap().as_bytes(), &[]).is_too_deep);
    }

    #[test]
    fn few_marks_are_small_however_long_the_text() {
        assert!(is_small("x".repeat(1 << 20).as_bytes()));
        assert!(!is_small(",".repeat(FEW_MARKS + 1).as_bytes()));
        assert!(is_small(",".repeat(FEW_MARKS).as_bytes()));
    }
}
