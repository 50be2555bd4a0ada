"""The token that a key signs for itself, with which its holder reads."""
import base64, hashlib, json, time

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def token(key, origin, seconds=600):
    """A JWT that the key signs for itself; it lets its holder read, and signs no record."""
    part = lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=")
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    header = {"alg": "EdDSA", "typ": "JWT", "kid": hashlib.sha256(b"\x01" + public).hexdigest()}
    now = int(time.time())
    claims = {"aud": origin, "iat": now, "exp": now + seconds}
    body = b".".join(part(json.dumps(fields).encode()) for fields in (header, claims))
    return (body + b"." + part(key.sign(body))).decode()
