"""Profiles taken here: which metrics, the run under Nsight Compute, and why there is none."""
