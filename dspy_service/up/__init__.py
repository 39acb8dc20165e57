"""The whole platform on one machine: API, workers and embedded Valkey as children of one process."""
