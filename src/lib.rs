//! The node: what plugs the world into [`weir_actors`].

pub mod figure;
pub mod plot;
