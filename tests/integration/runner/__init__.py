"""The real runner process over a socket pair, with a scripted broker in the test."""
