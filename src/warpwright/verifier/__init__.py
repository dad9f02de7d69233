"""One verdict on one candidate. `verify` makes every check that can be made."""
