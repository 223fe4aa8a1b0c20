"""Measuring: what a model costs and what compression loses."""
