use weir_actors::detection::{DetectionConfig, RuleConfig};

use super::*;

#[test]
fn lines_fit_the_terminal() {
    let mut bytes = Vec::new();
    let mut report = Report { output: Output::to(&mut bytes), faults: 0 };
    report.fault(&"word ".repeat(60)).unwrap();
    report.ok("fine").unwrap();
    assert_eq!(report.faults, 1);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.lines().all(|l| l.chars().count() <= COLUMNS), "{text}");
    assert!(text.starts_with("FAULT  word"), "{text}");
    assert!(text.ends_with("ok     fine\n"), "{text}");
}

#[test]
fn what_no_rule_reaches_is_told() {
    let mut config = DetectionConfig::default();
    let spec = *config.detectors.values().next().unwrap();
    config.detectors.insert("spare".into(), spec);
    let rule = |series: &str| RuleConfig { series: series.into(), detector: "cusum".into() };
    config.rules = vec![rule("*"), rule("pump-*")];
    let notes = unused_detectors(&config);
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("spare") && notes[1].contains("rules[1]"), "{notes:?}");
}
