//! Bucket listings with keys that are no valid paths, such as `a//b` or `a/../b`, or one with a line feed.
//! `object_store` fails the whole listing for one; here they are filtered out of the response before parsing.
//! They are useless anyway: no artifact path means such a key, neither here nor in the client library.

use object_store::path::Path as Key;

/// The XML elements of entries and of their keys: S3 and Google, then Azure.
const ENTRIES: [(&str, &str); 4] =
    [("Contents", "Key"), ("CommonPrefixes", "Prefix"), ("Blob", "Name"), ("BlobPrefix", "Name")];

/// The root elements of listings: S3/Google, then Azure.
const LISTS: [&str; 2] = ["<ListBucketResult", "<EnumerationResults"];

/// The error for a 2xx response that is no listing: the login page of a captive portal, or the page of a
/// proxy.
#[derive(Debug)]
pub(super) struct NoListing;

impl std::fmt::Display for NoListing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer is no list of a bucket")
    }
}

impl std::error::Error for NoListing {}

/// Says whether this is a listing.
pub(super) fn is_listing(text: &str) -> bool {
    LISTS.iter().any(|begin| text.contains(begin))
}

/// Filters out entries with invalid keys.
pub(super) fn without_odd_keys(text: String) -> String {
    ENTRIES.iter().fold(text, |text, (entry, key)| without_odd(text, entry, key))
}

fn without_odd(text: String, entry: &str, key: &str) -> String {
    let (begin, end) = (format!("<{entry}>"), format!("</{entry}>"));
    let (key_begin, key_end) = (format!("<{key}>"), format!("</{key}>"));
    if !text.contains(&begin) {
        return text;
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, (inside, after))) =
        rest.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?)))
    {
        let found = inside.split_once(&key_begin).and_then(|(_, rest)| rest.split_once(&key_end));
        kept.push_str(before);
        if found.is_none_or(|(key, _)| Key::parse(unescape(key)).is_ok()) {
            kept.extend([&begin, inside, &end]);
        }
        rest = after;
    }
    kept.push_str(rest);
    kept
}

/// Resolves XML character references.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let resolved = after.split_once(';').and_then(|(name, after)| Some((character(name)?, after)));
        if let Some((character, after)) = resolved {
            out.push(character);
            rest = after;
        } else {
            out.push('&');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_no_paths_are_left_out() {
        for (key, is_kept) in [
            ("a", true),
            ("a/b c/é&amp;&lt;日.txt", true),
            ("a/", true),
            ("/a", true),
            ("a&#x2F;b", true),
            ("a//b", false),
            ("a//", false),
            ("a/&#x2f;b", false),
            ("//", false),
            ("a/./b", false),
            ("a/..", false),
            ("a&#10;b", false),
            ("a&#x9;b", false),
            ("a\nb", false),
            ("&unknown;&", true),
        ] {
            let contents = format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
            let prefixes = format!("<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>");
            let blobs = format!("<Blob><Name>{key}</Name><Properties/></Blob>");
            let others = format!("<BlobPrefix><Name>{key}</Name></BlobPrefix>");
            for entry in [contents, prefixes, blobs, others] {
                let list = |entry: &str| {
                    format!(
                        "<List><Prefix>a//</Prefix>{entry}<Contents><Key>z</Key></Contents>{entry}</List>"
                    )
                };
                let want = if is_kept { list(&entry) } else { list("") };
                assert_eq!(without_odd_keys(list(&entry)), want);
            }
        }
        let cut = "<List><Contents><Key>a//b</Key>";
        assert_eq!(without_odd_keys(cut.to_owned()), cut);
    }
}
