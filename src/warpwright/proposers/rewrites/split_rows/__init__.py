"""split-rows: the loop of a program over a long row is shared by several programs."""
