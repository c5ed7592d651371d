//! The reference of all settings, made from the commented default: one text is
//! kept, and `docs/configuration.md` follows it.

use std::fmt::Write as _;

use super::DEFAULT_TOML;

/// A line of the commented default.
enum Line<'a> {
    /// `# prose`
    Prose(&'a str),
    /// `[section]`, or `#[section]` where it is not set.
    Section(&'a str, bool),
    /// `key = value`, or `#key = value` where it is not set.
    Setting(&'a str, &'a str, bool),
    Blank,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let (rest, set) = match line.strip_prefix('#') {
            Some("") => return Self::Prose(""),
            Some(rest) if rest.starts_with(' ') => return Self::Prose(&rest[1..]),
            Some(rest) => (rest, false),
            None => (line, true),
        };
        if let Some(name) = rest.strip_prefix('[').and_then(|r| r.strip_suffix(']')) {
            return Self::Section(name, set);
        }
        match rest.split_once(" = ") {
            Some((key, value)) => Self::Setting(key.trim_matches('"'), value, set),
            None => Self::Blank,
        }
    }
}

/// All settings as Markdown: sections as headings, each setting with its default
/// (or an example) and what it does.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Configuration\n\n<!-- Made from src/config/default.toml; change it there, then run the \
         tests with WEIR_BLESS=1. -->\n\n",
    );
    let mut prose: Vec<&str> = Vec::new();
    let mut section = String::new();
    for line in DEFAULT_TOML.lines() {
        match Line::of(line) {
            Line::Prose(text) => prose.push(text),
            Line::Blank => {
                // The head of the file.
                if !prose.is_empty() {
                    let _ = writeln!(out, "{}\n", prose.join("\n"));
                    prose.clear();
                }
            }
            Line::Section(name, set) => {
                name.clone_into(&mut section);
                let unset = if set { "" } else { " (not set)" };
                let _ = writeln!(out, "\n## `[{name}]`{unset}\n");
                if !prose.is_empty() {
                    let _ = writeln!(out, "{}\n", prose.join("\n"));
                    prose.clear();
                }
            }
            Line::Setting(key, value, set) => {
                let path =
                    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
                let value =
                    if set { format!("`{value}`") } else { format!("not set; e.g. `{value}`") };
                let _ = writeln!(out, "- **`{path}`**: {value}");
                for text in prose.drain(..) {
                    let _ = writeln!(out, "  {text}");
                }
            }
        }
    }
    out
}
