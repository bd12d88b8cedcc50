"""The one place that states the version: the build, `__version__` and the User-Agent read it here."""

__version__ = "0.1.0"
