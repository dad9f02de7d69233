"""What is known of an operator: how it is recognised, its schedules and its kernels."""
