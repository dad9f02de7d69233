"""The *specialise* rewrite: run-time integers that never change become constants."""
