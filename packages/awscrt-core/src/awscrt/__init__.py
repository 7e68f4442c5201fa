"""awscrt: native network runtime for Python.

This module belongs to awscrt-core. Features (awscrt-http, awscrt-mqtt, awscrt-s3) install their modules next
to it, or in another site directory.
"""

from pkgutil import extend_path

from awscrt._version import __version__

__path__ = extend_path(__path__, __name__)
