"""The exercises: a module for each chapter, its notes and predictions in a TOML file beside it."""
