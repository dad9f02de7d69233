"""What this machine can do, and the fix for what it cannot."""
