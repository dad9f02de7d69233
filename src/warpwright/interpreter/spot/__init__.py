"""Some blocks of a program's real launch, on full-size inputs."""
