use std::collections::BTreeSet;

use weir_actors::decode::{Column, FormatConfig};
use weir_detectors::{BaselineSpec, DetectorSpec};

use super::*;

/// Reads `toml` and the variables as a node does.
fn read(toml: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.toml");
    std::fs::write(&path, toml).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Config::load_with(Some(&path), variables.collect::<Vec<_>>())
}

fn fault(toml: &str, variables: &[(&str, &str)]) -> String {
    read(toml, variables).expect_err("it is wrong").to_string()
}

#[test]
fn the_commented_default_is_the_default() {
    let parsed: Config = toml::from_str(DEFAULT_TOML).unwrap();
    assert_eq!(parsed, Config::default());
    assert_eq!(read(DEFAULT_TOML, &[]).unwrap(), Config::default());
    assert_eq!(Config::default().validate(), Vec::<String>::new());
}

/// The places of all settings in a table, less the names that a user gives.
fn places(table: &toml::Table, at: &str, into: &mut BTreeSet<String>) {
    for (key, value) in table {
        let place = format!("{at}{key}");
        match value {
            toml::Value::Table(inner) => places(inner, &format!("{place}."), into),
            _ => {
                into.insert(place);
            }
        }
    }
}

#[test]
fn every_setting_stands_in_the_commented_default() {
    let (mut known, mut written) = (BTreeSet::new(), BTreeSet::new());
    places(&toml::Table::try_from(Config::default()).unwrap(), "", &mut known);
    places(&DEFAULT_TOML.parse().unwrap(), "", &mut written);
    assert!(known.len() > 60, "{known:?}");
    assert_eq!(known, written);
}

#[test]
fn every_example_in_the_commented_default_can_be_taken() {
    // Uncommented one by one: several of them exclude each other.
    let needs = |line: &str| match line {
        l if l.starts_with("user") => "password_env = \"PASSWORD\"\n",
        l if l.starts_with("password") => "user = \"weir\"\n",
        l if l.starts_with("cert_file") || l.starts_with("key_file") => "",
        l if l.starts_with("latitude") => "longitude = \"$.lon\"\n",
        l if l.starts_with("longitude") => "latitude = \"$.lat\"\n",
        l if l.starts_with("altitude") => "latitude = \"$.a\"\nlongitude = \"$.b\"\n",
        _ => "",
    };
    let lines: Vec<&str> = DEFAULT_TOML.lines().collect();
    let mut taken = 0;
    for (i, line) in lines.iter().enumerate() {
        let Some(line) = line.strip_prefix('#').filter(|l| !l.is_empty() && !l.starts_with(' '))
        else {
            continue;
        };
        if line.starts_with('[') || ["delimiter", "header"].iter().any(|k| line.starts_with(k)) {
            continue;
        }
        let in_tls = lines[..i]
            .iter()
            .rev()
            .find(|l| l.contains('[') && !l.contains('='))
            .is_some_and(|l| l.contains("tls"));
        let head = if in_tls { "[cassandra.tls]\n" } else { "" };
        let text = [
            &lines[..i].join("\n"),
            "\n",
            head,
            needs(line),
            line,
            "\n",
            &lines[i + 1..].join("\n"),
        ]
        .concat();
        toml::from_str::<Config>(&text).unwrap_or_else(|e| panic!("{line}: {e}"));
        taken += 1;
    }
    assert!(taken > 12, "{taken}");
}

#[test]
fn the_environment_overrides_the_file() {
    let config = read(
        "[kafka]\nbrokers = [\"x:1\"]\n[run]\nshards = 7",
        &[
            ("WEIR__KAFKA__BROKERS", "a:1, b:2"),
            ("WEIR__RUN__SHARDS", "2"),
            ("WEIR__DETECTION__DETECTORS__CUSUM__H", "12"),
            ("WEIR__CASSANDRA__REPLICATION", "{ \"eu-west\" = 3 }"),
            ("WEIR__FORMAT__VALUE", "$.reading"),
            ("WEIRD", "1"),
            ("PATH", "/bin"),
        ],
    );
    let config = config.unwrap();
    assert_eq!(config.kafka.brokers, ["a:1", "b:2"]);
    assert_eq!(config.run.shards, 2);
    assert_eq!(config.cassandra.replication, [("eu-west".to_owned(), 3)].into());
    let DetectorSpec::Cusum(cusum) = config.detection.detectors["cusum"] else { panic!() };
    assert_eq!((cusum.h, cusum.k), (12.0, 1.5));
    let FormatConfig::Json(json) = config.format else { panic!() };
    assert_eq!((json.value.as_deref(), json.time.as_deref()), (Some("$.reading"), Some("$.time")));
}

#[test]
fn a_chosen_kind_takes_the_place_of_the_defaults() {
    let config = read(
        "format = { type = \"csv\", key = 0, value = 1 }\n\
         [detection.detectors.cusum]\nkind = \"cusum-window\"\nwindow = 60\nobservations_min = 60\n\
         [detection.detectors.known]\nkind = \"cusum\"\nbaseline.fixed = { mean = 1.0, sigma = 2.0 }\n\
         [cassandra.replication]\neu = 3",
        &[],
    );
    let config = config.unwrap();
    let FormatConfig::Csv(csv) = config.format else { panic!() };
    assert_eq!(
        (csv.key, csv.value, csv.time),
        (Some(Column::Number(0)), Some(Column::Number(1)), None)
    );
    assert!(matches!(config.detection.detectors["cusum"], DetectorSpec::CusumWindow(_)));
    assert_eq!(config.cassandra.replication, [("eu".to_owned(), 3)].into());

    let config = read("", &[("WEIR__FORMAT__TYPE", "long")]).unwrap();
    assert!(matches!(config.format, FormatConfig::Long(_)));

    let fixed = "[detection.detectors.cusum]\nbaseline.fixed = { mean = 1.0, sigma = 2.0 }";
    let config = read(fixed, &[]).unwrap();
    let DetectorSpec::Cusum(cusum) = config.detection.detectors["cusum"] else { panic!() };
    assert!(matches!(cusum.baseline, BaselineSpec::Fixed(_)));
}

#[test]
fn a_wrong_type_in_the_environment_names_the_variable() {
    let text = fault("", &[("WEIR__RUN__SHARDS", "many")]);
    assert!(text.contains("WEIR__RUN__SHARDS: "), "{text}");
    let text = fault("", &[("WEIR__RUN__SHARTS", "2")]);
    assert!(text.contains("WEIR__RUN__SHARTS: ") && text.contains("shards"), "{text}");
}

#[test]
fn an_unknown_setting_is_named_with_its_file() {
    let text = fault("[kafka]\nbroker = [\"a:1\"]", &[]);
    assert!(text.contains("weir.toml: kafka.broker: "), "{text}");
    assert!(text.contains("brokers"), "{text}");
}

#[test]
fn every_fault_is_told_at_once() {
    let text = fault(
        "job = \"a b\"\n[kafka]\nbroker = 1\nsession_timeout_ms = \"soon\"\n[run]\nreader_threads = 0",
        &[("WEIR__RUN__SHARDS", "many"), ("WEIR__HTTP__LISTEN", "here")],
    );
    for part in [
        "kafka.broker",
        "kafka.session_timeout_ms",
        "WEIR__RUN__SHARDS",
        "WEIR__HTTP__LISTEN",
        "job \"a b\"",
        "run.reader_threads",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(text.starts_with("the configuration has 6 fault(s)"), "{text}");
}

#[test]
fn what_is_not_toml_says_where() {
    let text = fault("[kafka\n", &[]);
    assert!(text.contains("weir.toml") && text.contains("line 1"), "{text}");
}

#[test]
fn a_file_that_is_named_and_not_there_is_a_fault() {
    let missing = Config::read(Some(Path::new("/no/such.toml")), Vec::new()).unwrap_err();
    assert!(missing.to_string().contains("weir init"), "{missing}");
}

#[test]
fn secrets_are_never_shown() {
    let config = read(
        "[kafka.properties]\n\"sasl.password\" = \"hunter2\"\n\
         [cassandra]\nuser = \"weir\"\npassword = \"hunter2\"",
        &[],
    );
    let config = config.unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!toml::to_string(&config).unwrap().contains("hunter2"));
}

/// `WEIR_BLESS=1` writes it anew.
#[test]
fn the_reference_is_made_from_the_commented_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let made = reference::markdown();
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/configuration.md is out of date; run the tests with WEIR_BLESS=1");
}
