"""Brokers of others, which tests and benchmarks run."""
