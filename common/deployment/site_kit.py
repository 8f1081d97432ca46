"""What a coordinator and a site both know of the site's kit: its files, the site's name, its settings and its key."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

SETTINGS, POLICY, AUTHORITY = "site.toml", "policy.toml", "ca.crt"
LISTING = "bundle.txt"  # the files of the bundle that the policy allows, as sha256sum writes them
PRIVATE_KEY, PUBLIC_KEY = "key", "key.pub"
SITE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")  # a file's name, a host's and a label's


@dataclass(frozen=True, kw_only=True)
class SiteKey:
    """A key, by which the coordinator knows a site.

    Attributes:
        private: the content of its file, which its owner alone may read.
        public: its line, in OpenSSH's format, without a comment.
    """

    private: bytes
    public: str


def make_key() -> SiteKey:
    """A new key as ``ssh-keygen -t ecdsa -b 384`` makes it; Flower takes no other."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return SiteKey(private=private, public=openssh(key.public_key()))


def openssh(key: ec.EllipticCurvePublicKey) -> str:
    """A public key in OpenSSH's format, without a comment."""
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def settings_of(site: str, address: str) -> str:
    """The text of ``site.toml``, for the site to complete.

    Args:
        site: its name.
        address: of the coordinator, for sites.
    """
    return f"""\
# Who this site is, and where the coordinator is.
name = {json.dumps(site)}
superlink = {json.dumps(address)}

[data]
# What lies in the folder of recordings: manifest (a manifest.csv there lists them), emodb, ravdess, iemocap, …
corpus = "manifest"
# A folder below it; "" for itself.
root = ""
# A file there that says which of your labels is which emotion; "" if they are fedser's own.
label_map = ""
# Whether speakers whose ids are spelled alike (s4, S04, 4.0) are one person, "merge", or several, "distinct". While it
# is "" a run ends here before its first round where there are such ids: one person must not train and be tested.
speaker_ids = ""
# A public speech encoder that runs may have in front of the model: a folder there (config.json, model.safetensors), or
# an ONNX file; "" for none. Which one may be used, policy.toml says by its SHA-256.
encoder = ""
"""
