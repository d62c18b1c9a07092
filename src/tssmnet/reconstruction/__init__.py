"""Holes in, no holes out: whatever the model, in memory, in files, day after day."""
