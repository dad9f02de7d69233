"""The parts of `benchmarks/conv2d.py`: our own code, trusted, in the script's own process."""
