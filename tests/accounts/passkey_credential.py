"""A passkey as a browser hands it over when it is made."""

import os

from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import sha256, websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)


def passkey_credential(host: str = "localhost") -> dict:
    """The JSON of a registration, of a key that nobody has."""
    key = ES256.from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    made = AttestedCredentialData.create(bytes(16), os.urandom(32), key)
    flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV | AuthenticatorData.FLAG.AT
    data = AuthenticatorData.create(sha256(host.encode()), flags, 0, bytes(made))
    attestation = AttestationObject.create("none", data, {})
    asked = CollectedClientData.create("webauthn.create", b"a challenge", f"http://{host}")
    identity = websafe_encode(made.credential_id)
    return {
        "id": identity,
        "rawId": identity,
        "type": "public-key",
        "response": {
            "clientDataJSON": websafe_encode(bytes(asked)),
            "attestationObject": websafe_encode(bytes(attestation)),
        },
        "clientExtensionResults": {},
    }
