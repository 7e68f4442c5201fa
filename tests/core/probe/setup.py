from setuptools import setup

from awscrt.build import feature_extension, setup_options

setup(name="awscrt-probe", ext_modules=[feature_extension("awscrt_probe", ["probe.c"])], **setup_options())
