"""What people and programs read about an answer: the explanation and the JSON record."""
