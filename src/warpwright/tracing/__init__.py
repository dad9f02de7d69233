"""What a program's host code launches, found on stand-ins without a GPU."""
