"""What all parts of Warpwright speak of: frozen dataclasses, standard library only."""
