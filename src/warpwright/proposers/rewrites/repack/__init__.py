"""repack: a constant operand permuted so that the lanes of its loads lie together in memory."""
