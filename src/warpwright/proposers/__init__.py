"""Proposers of candidates. None is trusted: the gate judges what they make."""
