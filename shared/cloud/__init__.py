"""Who we are in a cloud: short-lived tokens in place of stored passwords.

Start at `CloudIdentities.token`. Each cloud's library is imported by the first request to it.
"""

from shared.cloud.identities import CloudIdentities
from shared.cloud.tokens import AwsKeys, CloudToken, TokenRequest

__all__ = ["AwsKeys", "CloudIdentities", "CloudToken", "TokenRequest"]
