//! The node: what plugs the world into [`weir_actors`].

pub mod cassandra;

#[cfg(test)]
mod store_contract;
