"""``python -m hosu`` is ``hosu``."""

from hosu.cli.main import run

run()
