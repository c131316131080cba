"""Plain scripts that do what the service does without its library, to hold its numbers against."""
