#!/usr/bin/env python3
"""Read a lot knowing nothing but the server's address: read_lot.py HOST:PORT CA.PEM TOKEN-FILE LOT-CODE

No generated code: the services and messages are asked for by server reflection. Needs
`pip install grpcio grpcio-reflection protobuf`.
"""
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def connect(address, ca_path):
    with open(ca_path, "rb") as file:
        credentials = grpc.ssl_channel_credentials(root_certificates=file.read())
    return grpc.secure_channel(address, credentials)


def call(channel, pool, service, method, token, fields):
    """Calls a method by its name with a request given as JSON fields, and returns the answer as JSON fields."""
    described = pool.FindServiceByName(service).FindMethodByName(method)
    request_class = message_factory.GetMessageClass(described.input_type)
    answer_class = message_factory.GetMessageClass(described.output_type)
    stub = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=answer_class.FromString,
    )
    answer = stub(json_format.ParseDict(fields, request_class()), metadata=[("authorization", f"Bearer {token}")], timeout=10)
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def main(address, ca_path, token_path, lot_code):
    with open(token_path, encoding="ascii") as file:
        token = file.read().strip()
    with connect(address, ca_path) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(database)
        for service in database.get_services():
            print(service)
        lot = call(channel, pool, "marrowline.v1.CustodyService", "GetLot", token, {"lot": lot_code})["lot"]
    print(lot["lot_code"], lot.get("disposition", "no disposition"), f"passage {lot.get('passage', 0)}")
    for step in lot["stream"].get("steps", []):
        print(" ", step.get("event"), ", ".join(person.get("printed_name", "") for person in step.get("signatures", [])))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
