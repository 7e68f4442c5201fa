"""Credentials of third parties: the hook ``awscrt_credentials_provider``."""

from __future__ import annotations

from concurrent.futures import TimeoutError
from typing import TYPE_CHECKING, Any, Optional

from awscrt._credentials.errors import SOCKET_TIMEOUT, failed
from awscrt._credentials.source import Source

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials

__all__ = ["DEFAULT_CHAIN", "PluginSource"]

DEFAULT_CHAIN = "default-chain"  #: the name under which the default chain asks plugins
_PATIENCE = 60.0  # seconds


class PluginSource(Source):
    """Asks the provider that a plugin offers under a name."""

    name = "plugin"

    def __init__(self, name: str, provider: Any) -> None:
        self._name = name
        self._provider = provider

    @classmethod
    def find(cls, name: str) -> Optional[PluginSource]:
        """The source of that name, or None when no plugin has it.

        :raises TypeError: what the plugin offers is no AwsCredentialsProvider
        """
        from awscrt.auth import AwsCredentialsProviderBase
        from awscrt.plugins import credentials_provider

        provider = credentials_provider(name)
        if provider is None:
            return None
        if not isinstance(provider, AwsCredentialsProviderBase):
            raise TypeError(
                f"a plugin's awscrt_credentials_provider({name!r}) gave {type(provider).__name__}, "
                "not an AwsCredentialsProvider"
            )
        return cls(name, provider)

    def query(self) -> AwsCredentials:
        future = self._provider.get_credentials()
        try:
            credentials: AwsCredentials = future.result(_PATIENCE)
        except TimeoutError as error:
            future.cancel()
            raise failed(
                SOCKET_TIMEOUT, f"The plugin's provider {self._name} did not answer within {_PATIENCE:g} s.", error
            ) from error
        return credentials
