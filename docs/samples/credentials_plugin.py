"""A plugin whose credentials the default chain finds; a distribution would name it in its entry points."""

from awscrt import plugins
from awscrt.auth import AwsCredentials, AwsCredentialsProvider


def ask_the_vault():
    return AwsCredentials("AKIDVAULT", "secret of the vault")


class VaultPlugin:
    @plugins.hookimpl
    def awscrt_credentials_provider(self, name):
        if name == "default-chain":
            return AwsCredentialsProvider.new_delegate(ask_the_vault)
        return None


plugins.register(VaultPlugin(), name="vault")
provider = AwsCredentialsProvider.new_default_chain()
print(provider.get_credentials().result(timeout=60).access_key_id)
