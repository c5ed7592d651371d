//! A picture of each series.

use std::collections::BTreeSet;
use std::path::Path;

use super::series::{Series, SeriesNotes};
use crate::figure::counted;
use crate::plot::Plot;

/// More pictures than these nobody looks at.
const PICTURES_MAX: usize = 20;
/// The part of a file's name that stands for the series.
const NAME_CHARS_MAX: usize = 80;

/// Draws the series with the highest scores; says what was drawn.
pub(super) fn write(notes: SeriesNotes, path: &Path) -> anyhow::Result<String> {
    let mut series = notes.into_series();
    let all = series.len();
    // Stable: of equals, those that came first.
    series.sort_by(|a, b| b.peak.total_cmp(&a.peak));
    series.truncate(PICTURES_MAX);
    if let [_] = series.as_slice() {
        draw(series.remove(0), path)?;
        return Ok(format!("drew {}", path.display()));
    }
    let (mut taken, drawn) = (BTreeSet::new(), series.len());
    for one in series {
        let path = path.with_file_name(file_name(path, &one.name, &mut taken));
        draw(one, &path)?;
    }
    let some = if all > drawn {
        format!(", those with the highest scores of {all} series")
    } else {
        String::new()
    };
    let example = path.with_file_name(format!(
        "{}-*.{}",
        path.file_stem().unwrap_or_default().to_string_lossy(),
        path.extension().unwrap_or_default().to_string_lossy()
    ));
    Ok(format!("drew {} as {}{some}", counted(drawn as u64, "picture"), example.display()))
}

fn draw(series: Series, path: &Path) -> anyhow::Result<()> {
    Plot { title: series.name, points: series.trace.into_points(), windows: Vec::new() }.write(path)
}

/// `out.svg` and `hall 3/pump` give `out-hall_3_pump.svg`.
fn file_name(path: &Path, series: &str, taken: &mut BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' };
    let name: String = series.chars().take(NAME_CHARS_MAX).map(plain).collect();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let numbered = |n: usize| if n == 1 { name.clone() } else { format!("{name}-{n}") };
    let unique = (1..).map(numbered).find(|n| taken.insert(n.clone()));
    format!("{stem}-{}.{extension}", unique.expect("numbers do not end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pictures_are_plain_and_unique() {
        let mut taken = BTreeSet::new();
        let mut of = |series: &str| file_name(Path::new("x/out.svg"), series, &mut taken);
        assert_eq!(of("hall 3/pump"), "out-hall_3_pump.svg");
        assert_eq!(of("hall_3_pump"), "out-hall_3_pump-2.svg");
        assert_eq!(of("../../etc"), "out-.._.._etc.svg");
    }
}
