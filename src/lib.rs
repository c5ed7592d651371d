//! The node: what plugs the world into [`weir_actors`].

pub mod kafka;
