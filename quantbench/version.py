"""The version of the package that is installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("quantbench")
except PackageNotFoundError:  # a checkout on the path that nothing installed
    __version__ = "0+not.installed"
