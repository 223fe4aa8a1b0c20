"""Reference pages that are written from the chapters, the tests and the records: ``make pages``."""
