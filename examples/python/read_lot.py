#!/usr/bin/env python3
"""Read a lot with no generated code: read_lot.py HOST:PORT CA.PEM LOG.VKEY KEY.PEM PASSPHRASE-FILE LOT-CODE

The services and messages are asked for by server reflection. The key makes its own token; the answer
counts only if the checkpoint that it rests on is signed by the log. Needs
`pip install grpcio cryptography grpcio-reflection` (which brings protobuf).
"""
import json, sys

import grpc
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from bearer import token
from check_receipt import signed_text


def read(path):
    with open(path, "rb") as file:
        return file.read()


def call(channel, pool, service, method, bearer, fields):
    """Calls a method by its name with a request given as JSON fields, and returns the answer as JSON fields."""
    described = pool.FindServiceByName(service).FindMethodByName(method)
    request_class = message_factory.GetMessageClass(described.input_type)
    answer_class = message_factory.GetMessageClass(described.output_type)
    stub = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=answer_class.FromString,
    )
    metadata = [("authorization", f"Bearer {bearer}")]
    answer = stub(json_format.ParseDict(fields, request_class()), metadata=metadata, timeout=10)
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def main(address, ca_path, vkey_path, key_path, passphrase_path, lot_code):
    vkey = read(vkey_path).decode().strip()
    key = load_pem_private_key(read(key_path), read(passphrase_path).rstrip(b"\r\n"))
    bearer = token(key, vkey.split("+")[0])
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(root_certificates=read(ca_path))) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(database)
        services = list(database.get_services())
        answer = call(channel, pool, "marrowline.v1.CustodyService", "GetLot", bearer, {"lot": lot_code})
    signed_text(answer["checkpoint"], vkey)
    print("\n".join(services))
    lot = answer["lot"]
    print(lot["lot_code"], lot.get("disposition", "no disposition"), f"passage {lot.get('passage', 0)}")
    for step in lot["stream"].get("steps", []):
        print(" ", step.get("event"), ", ".join(person.get("printed_name", "") for person in step.get("signatures", [])))


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
    except (ValueError, InvalidSignature, OSError) as error:
        sys.exit(f"REFUSED: {error or 'a signature does not hold'}")
