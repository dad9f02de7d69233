"""Rewrites: edits of a program's text that make its kernels faster. `registry` lists them."""
