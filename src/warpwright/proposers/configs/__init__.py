"""Which configs a kernel's autotuner should try, within the rules."""
