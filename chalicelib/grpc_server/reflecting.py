"""Server reflection in both versions, which tools ask for what the server has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2

_OLD: Final = "grpc.reflection.v1alpha"
_NEW: Final = "grpc.reflection.v1"
_FILE: Final = "grpc/reflection/v1/reflection.proto"
SERVICES: Final = (f"{_NEW}.ServerReflection", f"{_OLD}.ServerReflection")


def handlers(services: Sequence[str]) -> tuple[grpc.GenericRpcHandler, ...]:
    """Both versions: their messages have one wire format, and many tools ask for the older."""
    servicer = reflection.ReflectionServicer((*services, *SERVICES), _pool())
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return tuple(grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}) for name in SERVICES)


def _pool() -> descriptor_pool.DescriptorPool:
    """All that is known, and the file of v1, which no package brings: that of v1alpha under the other name."""
    pool = descriptor_pool.Default()
    made = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(made)
    made.name, made.package = _FILE, _NEW
    for field in (field for message in made.message_type for field in message.field):
        if field.type_name:  # set at all, even to nothing, it would name a type
            field.type_name = _renamed(field.type_name)
    for method in (method for service in made.service for method in service.method):
        method.input_type, method.output_type = _renamed(method.input_type), _renamed(method.output_type)
    pool.AddSerializedFile(made.SerializeToString())
    return pool


def _renamed(type_name: str) -> str:
    return type_name.replace(f".{_OLD}.", f".{_NEW}.")
