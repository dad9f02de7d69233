"""The *coarsen* move: neighbouring programs of a launch become the lanes of one."""
