"""The exercises: one or two modules for each chapter, notes and predictions in TOML files."""
