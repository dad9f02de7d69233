"""What a candidate changed of its parent, as typed edits."""
