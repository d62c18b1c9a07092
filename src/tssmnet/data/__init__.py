"""Where cubes come from: the registry of data sets, what fetches them, and what reads each product."""
