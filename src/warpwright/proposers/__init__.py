"""Proposers of candidates. None is trusted: the verifier decides on what they make."""
