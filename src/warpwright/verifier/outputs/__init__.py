"""Whether outputs are right, from values that other processes computed."""
