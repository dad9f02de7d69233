"""What rewrites share: a kernel in a program's text, and changing the text in one place."""
