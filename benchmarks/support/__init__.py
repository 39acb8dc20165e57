"""What the benchmarks share: a platform to measure, and how figures are made and printed."""
