"""Programs of one problem on the device: accuracy at full size, bursts of timed calls."""
