"""flatten: nested loops over what is one run of memory become one loop with longer steps."""
