//! The node: what plugs the world into [`weir_actors`].
