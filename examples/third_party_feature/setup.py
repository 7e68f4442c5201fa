"""Builds awscrt_echo._echo from the headers of the installed awscrt-core; nothing of it is linked."""

from setuptools import setup

from awscrt.build import feature_extension, setup_options

options = setup_options()
del options["version"]  # ours is in pyproject.toml
setup(ext_modules=[feature_extension("awscrt_echo._echo", ["native/echo.c"])], **options)
