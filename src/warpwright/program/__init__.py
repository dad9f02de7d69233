"""The reader of programs: what a text's kernels, launches and host code are. Nothing runs."""
