"""GPUs: our sheets, what a request states, and what this machine's driver says."""
