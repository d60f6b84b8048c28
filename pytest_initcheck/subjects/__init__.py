"""A model by its name, with data that it takes: what commands and options diagnose."""
