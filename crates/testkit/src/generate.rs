//! Random products and random queries from a seed.
