"""Semantic mutations of Triton programs: a development tool that asks whether the gate sees them.

`engine` makes mutants of a source, `kernel_operators` and `host_operators` say how, `truth` finds
out whether a mutant computes something else.
"""
