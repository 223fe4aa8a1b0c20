"""The recorded results: one module a record, and what they share."""
