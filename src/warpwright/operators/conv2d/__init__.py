"""Two-dimensional convolutions: what is recognised, what is made of it."""
