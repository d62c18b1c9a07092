"""The paper's own region and years: fetched, built, recorded."""
