"""Semantic mutations of Triton programs: whether the verifier sees them, as a tool for development.

`engine` makes mutants of a source, `kernel_operators` and `host_operators` say how, `truth` finds
out whether a mutant computes something else.
"""
