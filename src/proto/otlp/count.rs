//! How many messages there are in an OTLP request, counted before decoding: two bytes of protobuf can stand
//! for a message that takes two hundred.

use std::mem::size_of;

use super::{AnyValue, Event, KeyValue, Link, ResourceSpans, ScopeSpans, Span};
use crate::proto::outline::Outline;

/// The decoder's recursion limit.
const MAX_DEPTH: usize = 100;
/// Peak memory factor of a growing list: reallocation holds the old and the new one.
const GROWTH: usize = 3;

/// Messages of a request, by kind; also the limits on each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Resources with their spans.
    pub resources: usize,
    /// Scopes with their spans.
    pub scopes: usize,
    /// Spans.
    pub spans: usize,
    /// Events of spans.
    pub events: usize,
    /// Links of spans.
    pub links: usize,
    /// Attributes of all of these, and fields of values that are objects.
    pub attributes: usize,
    /// Values of attributes, and items of those that are lists.
    pub values: usize,
}

/// A message in the binary form.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Request,
    ResourceSpans,
    Resource,
    Entity,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Pair,
    Value,
    Values,
    Pairs,
    /// A text in a list of texts.
    Text,
}

impl Kind {
    /// Returns the message type of a field.
    const fn of_field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Request, 1) => Self::ResourceSpans,
            (Self::ResourceSpans, 1) => Self::Resource,
            (Self::ResourceSpans, 2) => Self::ScopeSpans,
            (Self::Resource, 3) => Self::Entity,
            (Self::Entity, 3 | 4) => Self::Text,
            (Self::ScopeSpans, 1) => Self::Scope,
            (Self::ScopeSpans, 2) => Self::Span,
            (Self::Span, 11) => Self::Event,
            (Self::Span, 13) => Self::Link,
            (Self::Resource | Self::Pairs, 1)
            | (Self::Scope | Self::Event, 3)
            | (Self::Span, 9)
            | (Self::Link, 4) => Self::Pair,
            (Self::Pair, 2) | (Self::Values, 1) => Self::Value,
            (Self::Value, 5) => Self::Values,
            (Self::Value, 6) => Self::Pairs,
            _ => return None,
        })
    }
}

/// Why counting ends early.
enum End {
    /// The decoder will fail here, too.
    Malformed,
    /// A limit is exceeded.
    Enough,
}

impl Counts {
    /// Counts the messages of a protobuf body, until a kind exceeds its limit in `most`.
    pub fn of_protobuf(body: &[u8], most: &Self) -> Self {
        let mut counts = Self::default();
        // The decoder reports what ended it, or the counts show it.
        let _ended = counts.walk(Kind::Request, body, 0, most);
        counts
    }

    /// The names of the lists in the JSON form, as [`Self::of_json`] takes them.
    pub const LISTS: [&str; 8] = [
        "resourceSpans",
        "resource_spans",
        "scopeSpans",
        "scope_spans",
        "spans",
        "events",
        "links",
        "attributes",
    ];

    /// Takes the counts from the outline of the JSON form.
    pub fn of_json(outline: &Outline<'_>) -> Self {
        let count = |i: usize| outline.counts.get(i).copied().unwrap_or_default();
        Self {
            resources: count(0) + count(1),
            scopes: count(2) + count(3),
            spans: count(4),
            events: count(5),
            links: count(6),
            attributes: count(7),
            values: 0,
        }
    }

    /// Returns the messages' memory without strings, in bytes.
    pub const fn memory(&self) -> usize {
        let bytes = self.resources * size_of::<ResourceSpans>()
            + self.scopes * size_of::<ScopeSpans>()
            + self.spans * size_of::<Span>()
            + self.events * size_of::<Event>()
            + self.links * size_of::<Link>()
            + self.attributes * size_of::<KeyValue>()
            + self.values * size_of::<AnyValue>();
        bytes * GROWTH
    }

    fn walk(&mut self, kind: Kind, mut rest: &[u8], depth: usize, most: &Self) -> Result<(), End> {
        if depth > MAX_DEPTH {
            return Err(End::Malformed);
        }
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            let length = match key & 7 {
                0 => {
                    varint(&mut rest)?;
                    0
                }
                1 => 8,
                2 => usize::try_from(varint(&mut rest)?).map_err(|_e| End::Malformed)?,
                5 => 4,
                // Fields in a group count as this message's: at worst too many.
                3 | 4 => 0,
                _ => return Err(End::Malformed),
            };
            let (field, after) = rest.split_at_checked(length).ok_or(End::Malformed)?;
            rest = after;
            if key & 7 == 2
                && let Some(inner) = kind.of_field(key >> 3)
            {
                self.add(inner, most)?;
                // A string is no message: its content must not end the counting.
                if !matches!(inner, Kind::Text) {
                    self.walk(inner, field, depth + 1, most)?;
                }
            }
        }
        Ok(())
    }

    const fn add(&mut self, kind: Kind, most: &Self) -> Result<(), End> {
        let (count, most) = match kind {
            Kind::ResourceSpans => (&mut self.resources, most.resources),
            Kind::ScopeSpans => (&mut self.scopes, most.scopes),
            Kind::Span => (&mut self.spans, most.spans),
            Kind::Event => (&mut self.events, most.events),
            Kind::Link => (&mut self.links, most.links),
            Kind::Pair => (&mut self.attributes, most.attributes),
            Kind::Value | Kind::Entity | Kind::Text => (&mut self.values, most.values),
            Kind::Request | Kind::Resource | Kind::Scope | Kind::Values | Kind::Pairs => return Ok(()),
        };
        *count += 1;
        if *count > most { Err(End::Enough) } else { Ok(()) }
    }
}

/// Decodes a varint.
fn varint(bytes: &mut &[u8]) -> Result<u64, End> {
    let mut number = 0;
    for shift in 0..10 {
        let (byte, rest) = bytes.split_first().ok_or(End::Malformed)?;
        *bytes = rest;
        number |= u64::from(byte & 127) << (7 * shift);
        if byte & 128 == 0 {
            return Ok(number);
        }
    }
    Err(End::Malformed)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::{ArrayValue, ExportTraceServiceRequest, KeyValueList, Resource, Value};
    use super::*;

    const MANY: Counts =
        Counts { resources: 99, scopes: 99, spans: 99, events: 99, links: 99, attributes: 99, values: 99 };

    fn value(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn pair(of: Value) -> KeyValue {
        KeyValue { key: "k".into(), value: Some(value(of)), ..KeyValue::default() }
    }

    #[test]
    fn every_message_is_counted_once() {
        let list = Value::ArrayValue(ArrayValue { values: vec![value(Value::IntValue(1)); 3] });
        let map = Value::KvlistValue(KeyValueList { values: vec![pair(Value::BoolValue(true)); 2] });
        let link = Link { attributes: vec![pair(Value::IntValue(1))], ..Link::default() };
        let event = Event { attributes: vec![pair(list)], ..Event::default() };
        let span = Span {
            trace_id: vec![1; 16],
            attributes: vec![pair(map)],
            events: vec![event; 2],
            links: vec![link],
            ..Span::default()
        };
        let scope = ScopeSpans { spans: vec![span; 2], ..ScopeSpans::default() };
        let resource = Resource { attributes: vec![pair(Value::IntValue(5))], ..Resource::default() };
        let spans =
            ResourceSpans { resource: Some(resource), scope_spans: vec![scope], ..ResourceSpans::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![spans, ResourceSpans::default()] };
        let counts = Counts::of_protobuf(&request.encode_to_vec(), &MANY);
        // Each span has six attributes; each of its two events has a list of three.
        let want = Counts {
            resources: 2,
            scopes: 1,
            spans: 2,
            events: 4,
            links: 2,
            attributes: 1 + 2 * 6,
            values: 1 + 2 * (6 + 6),
        };
        assert_eq!(counts, want);
        assert!(counts.memory() > 2 * size_of::<Span>());
    }

    #[test]
    fn counting_ends_at_the_limit_and_where_nothing_can_be_read() {
        assert_eq!(Counts::of_protobuf(&b"\x0a\x00".repeat(1000), &MANY).resources, 100);
        for body in
            [&b"\x0a\xff"[..], b"\x0a", b"\x0f", b"\x09123", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(Counts::of_protobuf(body, &MANY).scopes, 0);
        }
        assert_eq!(Counts::of_protobuf(b"\x0b\x0a\x00\x0c\x0a\x00", &MANY).resources, 2);
    }

    #[test]
    fn texts_do_not_end_the_counting() {
        // Of a resource: an entity with a key `j`, which would be the beginning of a field.
        let entity = b"\x0a\x07\x0a\x05\x1a\x03\x1a\x01j";
        let counts = Counts::of_protobuf(&entity.repeat(2), &MANY);
        assert_eq!((counts.resources, counts.values), (2, 4));
    }

    #[test]
    fn json_is_counted_by_the_names_of_lists() {
        let body = br#"{"resourceSpans": [{"scope_spans": [{"spans": [{}, {"attributes": [{}]}]}]}, {}]}"#;
        let counts = Counts::of_json(&Outline::of(body, &Counts::LISTS));
        let want = Counts { resources: 2, scopes: 1, spans: 2, attributes: 1, ..Counts::default() };
        assert_eq!(counts, want);
    }
}
