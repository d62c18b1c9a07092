"""Hide observations, fit, score."""
