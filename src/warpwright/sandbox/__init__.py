"""Every execution of foreign code: a job in a child process, with limits."""
