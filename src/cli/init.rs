//! `weir init`: a commented configuration to start from.

use super::Failure;
use super::output::Output;
use crate::config::{DEFAULT_TOML, reference};

pub(super) fn run(markdown: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if markdown {
        output.text(&reference::markdown())?;
    } else {
        output.text(DEFAULT_TOML)?;
    }
    output.flush()
}
