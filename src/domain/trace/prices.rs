//! What models cost: the catalog that comes with MLflow, a file of JSON for each provider.
//!
//! Upstream: `mlflow.utils.providers.cost_per_token`. Differs: newer prices are not looked for on the network.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;

/// What a million tokens of a model cost, in dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names of the catalog")]
struct Price {
    input_per_million_tokens: Option<f64>,
    output_per_million_tokens: Option<f64>,
    cache_read_per_million_tokens: Option<f64>,
    cache_write_per_million_tokens: Option<f64>,
    cache_write_1hr_per_million_tokens: Option<f64>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    pricing: Price,
}

#[derive(Deserialize)]
struct Provider {
    #[serde(default)]
    models: HashMap<String, Model>,
}

/// The prices of the models of all providers.
#[derive(Debug, Default)]
pub struct Prices {
    /// By provider, in the order of their names, and model.
    providers: BTreeMap<String, HashMap<String, Price>>,
}

/// Tokens that are paid for, in the order of `TOKEN_KEYS`.
pub type Tokens = [Option<i64>; 6];

impl Prices {
    /// Reads the catalog in `folder`; a file that cannot be read is left out.
    pub fn read(folder: &Path) -> Self {
        let Ok(files) = std::fs::read_dir(folder) else { return Self::default() };
        let read = |path: &Path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned();
            let provider: Provider = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
            Some((name, provider.models.into_iter().map(|(model, entry)| (model, entry.pricing)).collect()))
        };
        Self { providers: files.flatten().filter_map(|file| read(&file.path())).collect() }
    }

    /// Returns what input, output and both cost; `None` for an unknown model or no tokens.
    pub fn cost(&self, model: &str, provider: Option<&str>, tokens: &Tokens) -> Option<[f64; 3]> {
        let is_route = model.starts_with("gateway:/") || model.starts_with("endpoints:/");
        let [input, output, _, read, written, written_long] = tokens.map(Option::unwrap_or_default);
        if model.is_empty() || is_route || (input == 0 && output == 0) {
            return None;
        }
        let is_databricks = model.starts_with("databricks-") || model.starts_with("databricks/");
        let provider = provider.filter(|name| !name.is_empty()).or(is_databricks.then_some("databricks"));
        let price = self.find(model, provider)?;
        let rate = |price: Option<f64>| price.map(|price| price / 1_000_000.0);
        let input_rate = rate(price.input_per_million_tokens).unwrap_or_default();
        let write_rate = rate(price.cache_write_per_million_tokens).unwrap_or(input_rate);
        let written_long = written_long.min(written);
        let mut input_cost = number((input - read - written).max(0)) * input_rate;
        for (count, rate) in [
            (read, rate(price.cache_read_per_million_tokens).unwrap_or(input_rate)),
            (written - written_long, write_rate),
            (written_long, rate(price.cache_write_1hr_per_million_tokens).unwrap_or(write_rate)),
        ] {
            if count > 0 {
                input_cost += number(count) * rate;
            }
        }
        let output_cost = number(output) * rate(price.output_per_million_tokens).unwrap_or_default();
        Some([input_cost, output_cost, input_cost + output_cost])
    }

    /// Finds a model with its provider, or with the first provider that asks money for it.
    fn find(&self, model: &str, provider: Option<&str>) -> Option<&Price> {
        let bare = model.split_once('/').map_or(model, |(_, rest)| rest);
        let given = provider.and_then(|name| self.providers.get(&name.to_lowercase())?.get(bare));
        given.or_else(|| {
            let all = || self.providers.values().filter_map(|models| models.get(bare));
            let is_paid = |price: &&Price| price.input_per_million_tokens.is_some_and(|rate| rate > 0.0);
            all().find(is_paid).or_else(|| all().next())
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of tokens")]
const fn number(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.json", r#"{"models": {"m": {"mode": "chat"}, "free": {"pricing": {}}}}"#);
        write(
            "b.json",
            r#"{"models": {"m": {"pricing": {"input_per_million_tokens": 0.15, "output_per_million_tokens": 0.6,
            "cache_read_per_million_tokens": 0.075}}}}"#,
        );
        write("broken.json", "{");
        Prices::read(folder.path())
    }

    #[test]
    fn tokens_are_priced_by_model_and_provider() {
        let prices = prices();
        let tokens = [Some(12), Some(8), Some(20), None, None, None];
        for (model, provider, want) in [
            ("m", None, Some([1.8e-6, 4.8e-6, 6.6e-6])),
            ("x/m", None, Some([1.8e-6, 4.8e-6, 6.6e-6])),
            ("m", Some("B"), Some([1.8e-6, 4.8e-6, 6.6e-6])),
            ("m", Some("a"), Some([0.0, 0.0, 0.0])),
            ("free", None, Some([0.0, 0.0, 0.0])),
            ("other", None, None),
            ("gateway:/m", None, None),
        ] {
            let got = prices.cost(model, provider, &tokens);
            let near =
                |got: [f64; 3], want: [f64; 3]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-15);
            match (got, want) {
                (Some(got), Some(want)) => assert!(near(got, want), "{model} {got:?}"),
                (got, want) => assert_eq!(got, want, "{model}"),
            }
        }
        let cached = prices.cost("m", None, &[Some(10), Some(0), None, Some(4), None, None]).unwrap();
        assert!((cached[0] - (6.0 * 0.15e-6 + 4.0 * 0.075e-6)).abs() < 1e-15);
        assert_eq!(prices.cost("m", None, &[Some(0), None, None, None, None, None]), None);
    }
}
