"""What is known of a program without running it on the GPU, and what it means."""
