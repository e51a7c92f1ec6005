"""The routes from evidence to a compute estimate, one a file."""
