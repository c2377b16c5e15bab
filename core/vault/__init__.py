"""The vault of a site: the only place where identifiers live, all of them sealed."""

from core.vault.files import SealedReader
from core.vault.identity import Identity, InstanceIdentityIn, Link, OptOut, Origin
from core.vault.keys import Keys, add_key, create_keys, is_demo, load_keys
from core.vault.normalise import ChartIdRule
from core.vault.staging import Staging
from core.vault.vault import Vault

__all__ = [
    "ChartIdRule",
    "Identity",
    "InstanceIdentityIn",
    "Keys",
    "Link",
    "OptOut",
    "Origin",
    "SealedReader",
    "Staging",
    "Vault",
    "add_key",
    "create_keys",
    "is_demo",
    "load_keys",
]
