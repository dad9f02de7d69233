"""The *outer* rewrite: sums of outer products become matrix products."""
