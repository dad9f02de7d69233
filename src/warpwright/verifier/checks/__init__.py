"""The checks that read a program's text and run nothing: format, names, integrity."""
