"""Encodes records with Google's Python protobuf, for comparison with ours.

Reads JSON from stdin: {"descriptors": hex of a FileDescriptorSet, "message": full name, "records": [{"name", "bytes": hex, "fields":
the record as protobuf JSON}]}. Writes a JSON list: for each record its name, the bytes that Python writes after reading ours
("parsed"), and the bytes that it writes after building the record from its fields ("built").
"""

import json
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory


def message_class(descriptors: bytes, name: str):
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def main() -> None:
    task = json.load(sys.stdin)
    record_class = message_class(bytes.fromhex(task["descriptors"]), task["message"])
    answers = []
    for record in task["records"]:
        parsed = record_class.FromString(bytes.fromhex(record["bytes"]))
        built = json_format.ParseDict(record["fields"], record_class())
        answers.append(
            {
                "name": record["name"],
                "parsed": parsed.SerializeToString().hex(),
                "built": built.SerializeToString().hex(),
            }
        )
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
