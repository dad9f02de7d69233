"""Small inputs on which a program still does everything that it does at full size."""
