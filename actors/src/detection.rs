//! Which detector judges which series: the rules of the configuration.

use std::collections::BTreeMap;

use globset::{Candidate, GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};
use weir_detectors::DetectorSpec;

use crate::event::KeyEncoding;
use crate::shard::incident::IncidentConfig;
use crate::shard::timing::TimingConfig;

/// One rule: series whose name matches are judged by that detector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// A glob over the series' name as people write it: `*`, `?`, `[a-z]`,
    /// `{a,b}`. `*` also matches `/`.
    pub series: String,
    /// The name of a detector.
    pub detector: String,
}

/// How series are watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectionConfig {
    /// The detectors, by name.
    pub detectors: BTreeMap<String, DetectorSpec>,
    /// The first rule that matches a series decides.
    pub rules: Vec<RuleConfig>,
    /// The detector of series that no rule matches.
    pub default: String,
    /// Late and repeated timestamps.
    pub timing: TimingConfig,
    /// Folding of anomalies into incidents, and of incidents into storms.
    pub incidents: IncidentConfig,
}

/// The most detectors a configuration may name.
pub const DETECTORS_MAX: usize = u16::MAX as usize;

impl Default for DetectionConfig {
    fn default() -> Self {
        let default = DetectorSpec::default();
        Self {
            default: default.name().to_owned(),
            detectors: BTreeMap::from([(default.name().to_owned(), default)]),
            rules: Vec::new(),
            timing: TimingConfig::default(),
            incidents: IncidentConfig::default(),
        }
    }
}

impl DetectionConfig {
    /// Every fault, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let known = || self.detectors.keys().cloned().collect::<Vec<_>>().join(", ");
        for (name, spec) in &self.detectors {
            let of = |fault| format!("detection.detectors.{name}: {fault}");
            faults.extend(spec.validate().into_iter().map(of));
        }
        if self.detectors.len() > DETECTORS_MAX {
            faults.push(format!("detection.detectors: at most {DETECTORS_MAX} detectors"));
        }
        if !self.detectors.contains_key(&self.default) {
            faults.push(format!(
                "detection.default: there is no detector {:?}; there are: {}",
                self.default,
                known()
            ));
        }
        for (i, rule) in self.rules.iter().enumerate() {
            if !self.detectors.contains_key(&rule.detector) {
                faults.push(format!(
                    "detection.rules[{i}]: there is no detector {:?}; there are: {}",
                    rule.detector,
                    known()
                ));
            }
            if let Err(error) = glob(&rule.series) {
                faults.push(format!("detection.rules[{i}].series: {error}"));
            }
        }
        faults.extend(self.timing.validate());
        faults.extend(self.incidents.validate());
        faults
    }
}

fn glob(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(GlobBuilder::new(pattern)
        .literal_separator(false)
        .backslash_escape(true)
        .build()?
        .compile_matcher())
}

/// The number of a detector in [`Detection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectorIndex(u16);

/// The rules, ready to be asked.
#[derive(Debug)]
pub struct Detection {
    detectors: Vec<(String, DetectorSpec)>,
    rules: Vec<(GlobMatcher, DetectorIndex)>,
    default: DetectorIndex,
    encoding: KeyEncoding,
    /// Late and repeated timestamps.
    pub timing: TimingConfig,
    /// Folding.
    pub incidents: IncidentConfig,
}

impl Detection {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// The faults of [`DetectionConfig::validate`].
    pub fn new(config: &DetectionConfig, encoding: KeyEncoding) -> Result<Self, Vec<String>> {
        let faults = config.validate();
        if !faults.is_empty() {
            return Err(faults);
        }
        let detectors: Vec<_> =
            config.detectors.iter().map(|(name, spec)| (name.clone(), *spec)).collect();
        let index = |name: &str| {
            let at = detectors.iter().position(|(n, _)| n == name).expect("names are validated");
            DetectorIndex(at as u16)
        };
        let rules = config.rules.iter().map(|rule| {
            (glob(&rule.series).expect("patterns are validated"), index(&rule.detector))
        });
        Ok(Self {
            rules: rules.collect(),
            default: index(&config.default),
            timing: config.timing.clone(),
            incidents: config.incidents.clone(),
            detectors,
            encoding,
        })
    }

    /// The detector for a series.
    pub fn of(&self, series: &[u8]) -> DetectorIndex {
        if self.rules.is_empty() {
            return self.default;
        }
        let name = self.encoding.render(series);
        let candidate = Candidate::from_bytes(name.as_bytes());
        let matching = self.rules.iter().find(|(glob, _)| glob.is_match_candidate(&candidate));
        matching.map_or(self.default, |(_, detector)| *detector)
    }

    /// A detector's specification.
    pub fn spec(&self, detector: DetectorIndex) -> &DetectorSpec {
        &self.detectors[usize::from(detector.0)].1
    }

    /// A detector's name in the configuration.
    pub fn name(&self, detector: DetectorIndex) -> &str {
        &self.detectors[usize::from(detector.0)].0
    }

    /// How series' names are written.
    pub fn encoding(&self) -> KeyEncoding {
        self.encoding
    }
}
