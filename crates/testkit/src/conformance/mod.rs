//! The promises of the store's ports, as functions that run against any implementation.
