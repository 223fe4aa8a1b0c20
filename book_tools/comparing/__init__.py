"""When is an output a test: the pytest plugin and the comparison that it makes."""
