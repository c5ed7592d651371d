//! The node: what plugs the world into [`weir_actors`].

pub mod cassandra;
pub mod embedded;

#[cfg(test)]
mod store_contract;
