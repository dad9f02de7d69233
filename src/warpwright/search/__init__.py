"""Which candidates are tried, on this machine's GPU or by prediction, and which is handed out."""
