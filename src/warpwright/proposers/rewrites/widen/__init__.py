"""widen: a program that makes one small result makes several neighbouring ones at once."""
