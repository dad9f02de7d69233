"""Programs run without a GPU, in Triton's interpreter, on small inputs."""
