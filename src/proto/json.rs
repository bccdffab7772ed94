//! Protobuf messages as MLflow writes and reads them in JSON. Most of the rules are serde attributes that
//! `build.rs` puts on the fields: `snake_case` names (`camelCase` is read as well), unset fields and empty lists
//! left out, unknown fields ignored, `null` read as unset. Here are the rules for numbers and enums. What is refused
//! here is read again by [`super::parse`], which has the last word.
//!
//! Upstream: `google.protobuf.json_format.ParseDict`, `mlflow.utils.proto_json_utils.message_to_json`.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::Serializer;

use super::Enumeration;

/// Reads a repeated field; `null` is an empty list.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// Reads a repeated field of messages.
pub(crate) fn messages<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    Ok(list::<D, Object<T>>(d)?.into_iter().map(|item| item.0).collect())
}

/// Reads a map; `null` is an empty one.
pub(crate) fn map<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    d: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// Deserializes a nested message.
pub(crate) fn message<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(d)?.map(|object| object.0))
}

/// A message, deserialized from an object only: serde would also take a list.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Reads an int64: a whole number or a string that holds one.
pub(crate) fn int64<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    d.deserialize_any(Int)
}

/// Reads an int32 by the rules of [`int64`].
pub(crate) fn int32<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i32>, D::Error> {
    let wide = d.deserialize_any(Int)?;
    wide.map(|v| i32::try_from(v).map_err(|_e| D::Error::custom("value out of range"))).transpose()
}

struct Int;

impl Visitor<'_> for Int {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or a string that holds one")
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Self::Value, E> {
        Ok(Some(v))
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Self::Value, E> {
        i64::try_from(v).map(Some).map_err(|_e| E::custom("value out of range"))
    }

    #[expect(clippy::cast_possible_truncation, reason = "whole and within range, checked before")]
    fn visit_f64<E: Error>(self, v: f64) -> Result<Self::Value, E> {
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        if v.fract() == 0.0 && (-LIMIT..LIMIT).contains(&v) {
            Ok(Some(v as i64))
        } else {
            Err(E::custom("not a whole number"))
        }
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
        v.parse().map(Some).map_err(|_e| E::custom("not a whole number"))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Doubles: finite ones are numbers; NaN and the infinities are strings.
pub(crate) mod double {
    use super::{Deserializer, Error, Serializer, Visitor, fmt};

    #[expect(clippy::ref_option, reason = "serde hands over the field by reference")]
    pub(crate) fn serialize<S: Serializer>(value: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
        match *value {
            None => s.serialize_none(),
            Some(v) if v.is_finite() => s.serialize_f64(v),
            Some(v) if v.is_nan() => s.serialize_str("NaN"),
            Some(v) if v > 0.0 => s.serialize_str("Infinity"),
            Some(_) => s.serialize_str("-Infinity"),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
        d.deserialize_any(Double)
    }

    struct Double;

    #[expect(clippy::cast_precision_loss, reason = "a JSON integer given for a double")]
    impl Visitor<'_> for Double {
        type Value = Option<f64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number or a string that holds one")
        }

        fn visit_f64<E: Error>(self, v: f64) -> Result<Self::Value, E> {
            Ok(Some(v))
        }

        fn visit_i64<E: Error>(self, v: i64) -> Result<Self::Value, E> {
            Ok(Some(v as f64))
        }

        fn visit_u64<E: Error>(self, v: u64) -> Result<Self::Value, E> {
            Ok(Some(v as f64))
        }

        fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
            match v {
                "NaN" => Ok(Some(f64::NAN)),
                "Infinity" => Ok(Some(f64::INFINITY)),
                "-Infinity" => Ok(Some(f64::NEG_INFINITY)),
                _ if v.eq_ignore_ascii_case("nan") => Err(E::custom("not a number")),
                _ => v.trim().parse().map(Some).map_err(|_e| E::custom("not a number")),
            }
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
}

/// Enums: written by name, read by name or number.
pub(crate) struct Named<T>(PhantomData<T>);

impl<T: Enumeration> Named<T> {
    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands over the field by reference"
    )]
    pub(crate) fn serialize<S: Serializer>(value: &Option<i32>, s: S) -> Result<S::Ok, S::Error> {
        match value.map(|v| (v, T::try_from(v))) {
            None => s.serialize_none(),
            Some((_, Ok(known))) => s.serialize_str(known.name()),
            Some((number, Err(_))) => s.serialize_i32(number),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i32>, D::Error> {
        d.deserialize_any(Self(PhantomData))
    }
}

impl<T: Enumeration> Visitor<'_> for Named<T> {
    type Value = Option<i32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an enum value")
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
        if let Some(known) = T::from_name(v) {
            return Ok(Some(known.into()));
        }
        // An unknown name is left out like an unknown field.
        v.parse().map_or(Ok(None), |number| self.visit_i64(number))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Self::Value, E> {
        let known = i32::try_from(v).ok().and_then(|v| T::try_from(v).ok());
        known.map(|k| Some(k.into())).ok_or_else(|| E::custom("no enum value of that number"))
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Self::Value, E> {
        self.visit_i64(i64::try_from(v).unwrap_or(i64::MAX))
    }

    #[expect(clippy::cast_possible_truncation, reason = "Python's int() cuts the fraction too")]
    fn visit_f64<E: Error>(self, v: f64) -> Result<Self::Value, E> {
        self.visit_i64(v as i64)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Self::Value, E> {
        self.visit_i64(v.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use crate::proto::{GatewaySecretInfo, LogBatch, LogMetric, Metric, RunInfo, RunStatus, create_run};

    fn read(text: &str) -> Result<LogMetric, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn int64_is_read_from_numbers_and_strings() {
        for (text, want) in [
            ("17", Some(17)),
            ("\"17\"", Some(17)),
            ("-4", Some(-4)),
            ("3.0", Some(3)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("null", None),
        ] {
            let body = format!("{{\"timestamp\": {text}}}");
            assert_eq!(read(&body).unwrap().timestamp, want, "{text}");
        }
        for text in ["1.5", "\"x\"", "true", "[]", "1e40"] {
            assert!(read(&format!("{{\"timestamp\": {text}}}")).is_err(), "{text}");
        }
    }

    #[test]
    fn double_round_trips_beyond_json() {
        for (value, text) in [
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
            (3.0, "3.0"),
        ] {
            let metric = Metric { value: Some(value), ..Metric::default() };
            let json = serde_json::to_string(&metric).unwrap();
            assert_eq!(json, format!("{{\"value\":{text}}}"));
            let back: Metric = serde_json::from_str(&json).unwrap();
            assert_eq!(back.value.unwrap().to_bits(), value.to_bits());
        }
    }

    #[test]
    fn messages_are_objects_and_not_lists() {
        for text in
            [r#"{"tags": [[]]}"#, r#"{"tags": [["k", "v"]]}"#, r#"{"tags": [null]}"#, r#"{"tags": [5]}"#]
        {
            assert!(serde_json::from_str::<LogBatch>(text).is_err(), "{text}");
        }
        for text in [r#"{"run": []}"#, r#"{"run": 5}"#] {
            assert!(serde_json::from_str::<create_run::Response>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<create_run::Response>(r#"{"run": null}"#).unwrap().run.is_none());
    }

    #[test]
    fn names_unknown_fields_and_enums_follow_protobuf_json() {
        let read: RunInfo = serde_json::from_str(
            r#"{"runId": "a", "status": "FINISHED", "nope": {"x": [1]}, "start_time": null}"#,
        )
        .unwrap();
        assert_eq!(read.run_id.as_deref(), Some("a"));
        assert_eq!(read.status(), RunStatus::Finished);
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"status":"FINISHED","run_id":"a"}"#);
        assert_eq!(serde_json::from_str::<RunInfo>(r#"{"status": "NOPE"}"#).unwrap().status, None);
        assert!(serde_json::from_str::<RunInfo>(r#"{"status": 77}"#).is_err());
    }

    #[test]
    fn enums_are_read_as_python_reads_them() {
        for (status, want) in [
            ("3", Some(RunStatus::Finished)),
            ("\"3\"", Some(RunStatus::Finished)),
            ("1.5", Some(RunStatus::Running)),
            ("true", Some(RunStatus::Running)),
            ("\"NOPE\"", None),
            ("null", None),
        ] {
            let read: RunInfo = serde_json::from_str(&format!("{{\"status\": {status}}}")).unwrap();
            assert_eq!(read.status, want.map(i32::from), "{status}");
        }
        for status in ["9", "\"9\"", "[]"] {
            assert!(
                serde_json::from_str::<RunInfo>(&format!("{{\"status\": {status}}}")).is_err(),
                "{status}"
            );
        }
    }

    #[test]
    fn set_but_empty_strings_stay_and_empty_lists_go() {
        let info = RunInfo { run_name: Some(String::new()), ..RunInfo::default() };
        assert_eq!(serde_json::to_string(&info).unwrap(), r#"{"run_name":""}"#);
        let list: crate::proto::RunData = serde_json::from_str(r#"{"metrics": null}"#).unwrap();
        assert_eq!(serde_json::to_string(&list).unwrap(), "{}");
        let map: GatewaySecretInfo = serde_json::from_str(r#"{"auth_config": null}"#).unwrap();
        assert_eq!(serde_json::to_string(&map).unwrap(), "{}");
        let map: GatewaySecretInfo = serde_json::from_str(r#"{"authConfig": {"b": "1", "a": "2"}}"#).unwrap();
        assert_eq!(serde_json::to_string(&map).unwrap(), r#"{"auth_config":{"a":"2","b":"1"}}"#);
    }
}
