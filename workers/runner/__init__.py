"""The confined child: computes one job and speaks to its supervisor over one socket."""
