"""How often the criterion by counts is right: programs with moves, counted and then timed."""
