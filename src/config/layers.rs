//! The layers of a configuration, and how one lies over another: the defaults, the
//! file, the environment.
//!
//! Settings mix one by one, but a choice does not: where a layer says anew of
//! which kind a section is (`format`, a detector, its baseline) or names the data
//! centres, what the layers below say of it is dropped. Else a csv format would
//! inherit the default's `value = "$.value"`.

use std::path::Path;

use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::environment::{self, Environment};
use super::{Config, ConfigError, DEFAULT_PATH};

/// More settings than this are not tried one by one.
const FAULTS_MAX: usize = 100;

/// What is read, with every setting that is not as it must be: those are left at
/// what lies below them.
pub(super) fn read(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Vec<String>), ConfigError> {
    let path = match path {
        Some(path) if !path.exists() => return Err(ConfigError::Missing(path.to_owned())),
        Some(path) => Some(path),
        None => Some(Path::new(DEFAULT_PATH)).filter(|path| path.exists()),
    };
    let unreadable = |error: Box<figment::Error>| ConfigError::Unreadable(describe(*error));
    let defaults = Layer::of(&Serialized::defaults(Config::default())).map_err(unreadable)?;
    let file = match path {
        Some(path) => Layer::of(&Toml::file_exact(path)).map_err(|error| {
            ConfigError::Unreadable(vec![format!("{}: {error}", path.display())])
        })?,
        None => Layer::default(),
    };
    let environment = Layer::of(&Environment::new(environment)).map_err(unreadable)?;
    extract([defaults, file, environment])
}

/// Reads the layers; what cannot be read is noted, taken out, and the rest read
/// again: so every fault is told at once.
fn extract(mut layers: [Layer; 3]) -> Result<(Config, Vec<String>), ConfigError> {
    let mut faults = Vec::new();
    loop {
        let mut figment = Figment::new();
        for (i, layer) in layers.iter().enumerate() {
            figment = figment.merge(layer.without_what_is_chosen_anew(&layers[i + 1..]));
        }
        let error = match figment.extract::<Config>() {
            Ok(config) => return Ok((config, faults)),
            Err(error) => error,
        };
        let paths: Vec<Vec<String>> = error.clone().into_iter().map(|e| place(&e)).collect();
        faults.extend(describe(error));
        let mut progress = false;
        for path in paths {
            // The uppermost layer that says it is the one that is wrong.
            let layer = layers[1..].iter_mut().rev().find(|layer| layer.says(&path));
            progress |= layer.is_some_and(|layer| remove(&mut layer.dict, &path));
        }
        if !progress || faults.len() >= FAULTS_MAX {
            return Err(ConfigError::Unreadable(faults));
        }
    }
}

/// One layer, read.
#[derive(Clone, Default)]
struct Layer {
    metadata: Metadata,
    dict: Dict,
}

impl Layer {
    fn of(provider: &impl Provider) -> Result<Self, Box<figment::Error>> {
        let dict = provider.data().map_err(Box::new)?.remove(&Profile::Default).unwrap_or_default();
        Ok(Self { metadata: provider.metadata(), dict })
    }

    /// This layer, less what one of those above it chooses anew.
    fn without_what_is_chosen_anew(&self, above: &[Self]) -> Self {
        let mut rest = self.clone();
        for layer in above {
            let Self { dict, .. } = layer;
            if is_choice(dict, &["format"], "type") {
                remove(&mut rest.dict, &["format".to_owned()]);
            }
            if get(dict, &["cassandra", "replication"]).is_some() {
                remove(&mut rest.dict, &["cassandra".to_owned(), "replication".to_owned()]);
            }
            let Some(Value::Dict(_, detectors)) = get(dict, &["detection", "detectors"]) else {
                continue;
            };
            for name in detectors.keys() {
                let path = ["detection", "detectors", name.as_str()];
                let mut place: Vec<String> = path.iter().map(|&p| p.to_owned()).collect();
                if is_choice(dict, &path, "kind") {
                    remove(&mut rest.dict, &place);
                }
                place.push("baseline".to_owned());
                let path = [path[0], path[1], path[2], "baseline"];
                if other_variant(get(&rest.dict, &path), get(dict, &path)) {
                    remove(&mut rest.dict, &place);
                }
            }
        }
        rest
    }

    fn says(&self, path: &[String]) -> bool {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        !path.is_empty() && get(&self.dict, &path).is_some()
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// Whether the section at `path` says anew of which kind it is.
fn is_choice(dict: &Dict, path: &[&str], tag: &str) -> bool {
    matches!(get(dict, path), Some(Value::Dict(_, section)) if section.contains_key(tag))
}

/// Whether two values of one key are different variants of a choice.
fn other_variant(below: Option<&Value>, above: Option<&Value>) -> bool {
    match (below, above) {
        (Some(Value::Dict(_, below)), Some(Value::Dict(_, above))) => {
            !above.keys().all(|key| below.contains_key(key))
        }
        _ => false,
    }
}

fn get<'a>(dict: &'a Dict, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = dict.get(*first)?;
    match value {
        _ if rest.is_empty() => Some(value),
        Value::Dict(_, inner) => get(inner, rest),
        _ => None,
    }
}

/// Removes what stands at `path`; whether there was something.
fn remove(dict: &mut Dict, path: &[String]) -> bool {
    match path {
        [] => false,
        [last] => dict.remove(last).is_some(),
        [first, rest @ ..] => match dict.get_mut(first) {
            Some(Value::Dict(_, inner)) => remove(inner, rest),
            // An item of a list: the list goes as a whole.
            Some(Value::Array(..)) => dict.remove(first).is_some(),
            _ => false,
        },
    }
}

/// Where an error stands: of an unknown setting, its own place.
fn place(error: &figment::Error) -> Vec<String> {
    let mut path = error.path.clone();
    if let figment::error::Kind::UnknownField(name, _) = &error.kind
        && path.last() != Some(name)
    {
        path.push(name.clone());
    }
    path
}

fn describe(error: figment::Error) -> Vec<String> {
    let line = |e: figment::Error| {
        let path: Vec<&str> = e.path.iter().map(String::as_str).collect();
        let place = match &e.metadata {
            Some(m) if m.name == "the environment" => environment::variable(&path),
            Some(m) => {
                let source = m.source.as_ref().map_or(m.name.to_string(), ToString::to_string);
                format!("{source}: {}", path.join("."))
            }
            None => path.join("."),
        };
        let place = place.trim_end_matches([':', ' ']);
        format!("{place}: {}{}", e.kind, hint(&e.kind))
    };
    error.into_iter().map(line).collect()
}

fn hint(kind: &figment::error::Kind) -> &'static str {
    match kind {
        figment::error::Kind::UnknownField(..) => "; `weir init` prints all settings",
        _ => "",
    }
}
