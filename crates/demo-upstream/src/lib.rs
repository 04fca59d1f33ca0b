//! A small product API with OAuth 2.0, limits, latency and scripted faults, to try sources against.
