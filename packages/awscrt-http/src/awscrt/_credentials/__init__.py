"""Where :class:`awscrt.auth.AwsCredentialsProvider` gets credentials from, one source per module.

A source has a blocking ``query()``. :class:`awscrt._credentials.flight.Flight` runs it on a worker thread, once for
all who ask meanwhile; :class:`awscrt._credentials.cache.Cache` remembers its answer. Nothing here is imported before
a factory of the provider needs it.
"""
