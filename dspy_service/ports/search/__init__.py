"""What search needs from outside: stores of collections, retrievers and embedders."""
