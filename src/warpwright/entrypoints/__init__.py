"""Programs as users have them: from an entry point in files to one text, and back as a patch."""
