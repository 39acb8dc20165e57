"""What tests and benchmarks of faults are made of: processes and connections to break, and a judge of what is left."""
