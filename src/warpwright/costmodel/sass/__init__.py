"""Machine code carried out as far as its course and its addresses go, to count it."""
