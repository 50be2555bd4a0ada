#!/usr/bin/env python3
"""Check a receipt without asking the ledger: check_receipt.py LOG.VKEY RECEIPT LEAF

RECEIPT is a C2SP tlog-proof, LEAF the very bytes of the leaf. Exit status 0: the log with this
key holds this leaf. 1: it does not, or something is malformed. Needs `pip install cryptography`.
"""
import base64, hashlib, re, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

def need(holds, why):
    if not holds:
        raise ValueError(why)

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()

def unbase64(text):
    raw = base64.b64decode(text, validate=True)
    need(base64.b64encode(raw).decode() == text, "base64 is not canonical")
    return raw

def number(text):
    need(re.fullmatch("0|[1-9][0-9]*", text) and int(text) < 2**64, f"{text!r} is not a size or index")
    return int(text)

def small_order(point, p=2**255 - 19):
    """Whether 8 times the point is nothing: with such points, anybody's signature may hold."""
    y, d = (int.from_bytes(point, "little") & (2**255 - 1)) % p, -121665 * pow(121666, -1, p)
    for _ in range(2):  # doubled twice, such a point is at y = 1 or y = -1
        x2 = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
        y = (y * y + x2) * pow(1 - d * x2 * y * y, -1, p) % p
    return y in (1, p - 1)

def signed_text(note, vkey):
    name, key_id, encoded = vkey.split("+", 2)
    key = unbase64(encoded)
    need(len(key) == 33 and key[0] == 1, "the key is not Ed25519")
    need(sha256(name.encode(), b"\n", key)[:4].hex() == key_id, "the key id is not this key's")
    text, _, lines = note.rpartition("\n\n")
    need(text and lines.endswith("\n"), "the checkpoint is not a signed note")
    text, verified = text + "\n", 0
    for dash, signer, signature in (line.split(" ") for line in lines[:-1].split("\n")):
        signature = unbase64(signature)
        need(dash == "—" and signer and len(signature) > 4, "a signature line is malformed")
        if (signer, signature[:4].hex()) == (name, key_id):  # lines of other keys say nothing
            need(not small_order(key[1:]) and not small_order(signature[4:36]), "the signature is weak")
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text.encode())
            verified += 1
    need(verified, "the log's key has not signed the checkpoint")
    return name, text

def root_from(node, last, root, hashes):
    """From the node up to the root of a tree whose row ends at `last`: RFC 9162, section 2.1.3.2."""
    for sibling in hashes:
        need(last > 0 and len(sibling) == 32, "the proof is too long, or a hash is not 32 bytes")
        if node & 1 or node == last:
            root = sha256(b"\x01", sibling, root)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            root = sha256(b"\x01", root, sibling)
        node, last = node >> 1, last >> 1
    need(last == 0, "the proof is too short")
    return root

def check(vkey, receipt, leaf):
    head, _, note = receipt.partition("\n\n")
    parts = re.fullmatch("c2sp[.]org/tlog-proof@v1\n(?:extra (.+)\n)?index (.+)((?:\n.+)*)", head)
    need(parts, "this is not a tlog-proof")
    extra, index, hashes = parts[1], number(parts[2]), parts[3].split("\n")[1:]
    need(extra is None or unbase64(extra), "extra data is empty")  # it is signed by nobody: not used
    name, text = signed_text(note, vkey)
    need(text.count("\n") == 3, "the checkpoint has not three lines")
    origin, size, root, _ = text.split("\n")
    need(origin == name and index < number(size), "the checkpoint is another log's, or too small")
    computed = root_from(index, int(size) - 1, sha256(b"\x00", leaf), map(unbase64, hashes))
    need(computed == unbase64(root), "the leaf is not in the tree")
    return f"leaf {index} of {origin} is in its tree of {size} leaves"

if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        vkey, receipt, leaf = (open(path, "rb").read() for path in sys.argv[1:])
        print(check(vkey.decode().strip(), receipt.decode(), leaf))
    except (ValueError, InvalidSignature, OSError) as error:
        sys.exit(f"REFUSED: {error or 'the signature does not hold'}")
