"""The *vectorize* move: a loop of one element a step takes a block of elements a step."""
