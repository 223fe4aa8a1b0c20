"""Editions of the chapters: a learner's copies, the students', one chapter as an archive."""
