"""The project's own gap filler."""
