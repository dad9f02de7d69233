"""join: digits of an index that an address puts together again stand for the index itself."""
