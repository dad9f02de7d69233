"""Blocks of outputs of one residue class, and taps that they leave out."""
