//! From SVG to pixels.

use std::sync::{Arc, LazyLock};

use anyhow::{Context, anyhow};
use resvg::usvg::fontdb::Database;
use resvg::{tiny_skia, usvg};

/// DejaVu Sans, cut down to Latin, Greek, Cyrillic and a few signs; its licence
/// lies beside it.
const FONT: &[u8] = include_bytes!("DejaVuSans-subset.ttf");

/// The font's name.
pub(super) const FONT_FAMILY: &str = "DejaVu Sans";

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(FONT.to_vec());
    Arc::new(fonts)
});

pub(super) fn from_svg(svg: &str) -> anyhow::Result<Vec<u8>> {
    let options = usvg::Options {
        fontdb: Arc::clone(&FONTS),
        font_family: FONT_FAMILY.to_owned(),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).context("the picture is not SVG")?;
    let size = tree.size().to_int_size();
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height())
        .ok_or_else(|| anyhow!("the picture has no size"))?;
    resvg::render(&tree, tiny_skia::Transform::default(), &mut pixels.as_mut());
    pixels.encode_png().context("the picture cannot be written as PNG")
}
