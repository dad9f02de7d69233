"""What the right output is: the problem's own model, in a process of its own."""
