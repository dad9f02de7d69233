"""The story: a request, a problem or a reply comes in, and an answer or a verdict goes out."""
