"""The road from notebooks to the book: parameters, freshness, runs, staging, and the checks on what comes out."""
