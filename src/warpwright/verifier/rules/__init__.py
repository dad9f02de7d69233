"""The stage's rules, checked by difference. `checkers` lists them."""
