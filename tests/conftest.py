"""Settings of every test."""

import os

from hypothesis import settings

settings.register_profile("here", deadline=None)  # a busy machine is no failure
settings.register_profile("ci", deadline=None, derandomize=True)  # the same examples each time
settings.load_profile("ci" if os.environ.get("CI") else "here")
