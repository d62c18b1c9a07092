"""The project's own gap filler, a room for each step: see `tssmnet.filler.fill`."""
