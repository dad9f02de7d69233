"""fewer-atomics: a program adds up several blocks and makes one atomic operation."""
