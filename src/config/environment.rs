//! The environment as a source of configuration.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

/// What variables begin with.
pub(super) const PREFIX: &str = "WEIR__";

/// Settings that are lists: a value without brackets is split at commas.
const LISTS: [&str; 3] = ["kafka.brokers", "kafka.topics", "cassandra.contact_points"];

/// Variables that begin with `WEIR__`; the others are left out.
pub(super) struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    pub(super) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = variables.into_iter().filter_map(|(name, value)| {
            let key = name.strip_prefix(PREFIX)?.to_lowercase().replace("__", ".");
            Some((key, value))
        });
        let mut variables: Vec<_> = ours.collect();
        variables.sort();
        Self { variables }
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named("the environment").interpolater(|_, keys| variable(keys))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut all = Dict::new();
        for (key, text) in &self.variables {
            // Parsing cannot fail: what is not TOML is text.
            let value = if LISTS.contains(&key.as_str()) && !text.trim_start().starts_with('[') {
                text.split(',').map(|item| Value::from(item.trim())).collect::<Vec<_>>().into()
            } else {
                text.parse().expect("infallible")
            };
            insert(&mut all, key, value);
        }
        Ok(Map::from([(Profile::Default, all)]))
    }
}

/// The name of the variable for a setting.
pub(super) fn variable(keys: &[&str]) -> String {
    format!("{PREFIX}{}", keys.join("__").to_uppercase())
}

fn insert(dict: &mut Dict, key: &str, value: Value) {
    let Some((head, rest)) = key.split_once('.') else {
        dict.insert(key.to_owned(), value);
        return;
    };
    let inner = dict.entry(head.to_owned()).or_insert_with(|| Value::from(Dict::new()));
    if let Value::Dict(_, inner) = inner {
        insert(inner, rest, value);
    }
}
