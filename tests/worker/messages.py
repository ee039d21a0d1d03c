"""The protobuf messages that the Functions host and its Python worker exchange, as far as these tests need them.

The package of the worker does not contain the message classes; the program that starts the worker passes them to it.
These have the names and types that the worker uses, so that a wrong field or type fails as it does in Azure.
"""

from types import SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory

PACKAGE = "worker_test"
_TYPES = {"string": 9, "bytes": 12, "bool": 8, "int32": 5, "sint64": 18, "double": 1}

# Message name: its fields. `map` is a map of strings, `map:X` of messages X, `repeated X` a list of them; a star before
# the name of a field marks a `oneof`.
MESSAGES: dict[str, dict[str, str]] = {
    "RpcException": {"source": "string", "stack_trace": "string", "message": "string"},
    "StatusResult": {"status": "enum:Status", "result": "string", "exception": "RpcException"},
    "WorkerMetadata": {
        "runtime_name": "string",
        "runtime_version": "string",
        "worker_version": "string",
        "worker_bitness": "string",
        "custom_properties": "map",
    },
    "WorkerInitRequest": {"host_version": "string", "capabilities": "map", "function_app_directory": "string"},
    "WorkerInitResponse": {"capabilities": "map", "worker_metadata": "WorkerMetadata", "result": "StatusResult"},
    "RpcRetryOptions": {
        "max_retry_count": "int32",
        "delay_interval": "Duration",
        "minimum_interval": "Duration",
        "maximum_interval": "Duration",
        "retry_strategy": "enum:RetryStrategy",
    },
    "BindingInfo": {"type": "string", "direction": "enum:Direction", "data_type": "enum:DataType"},
    "RpcFunctionMetadata": {
        "name": "string",
        "directory": "string",
        "script_file": "string",
        "entry_point": "string",
        "bindings": "map:BindingInfo",
        "is_proxy": "bool",
        "status": "StatusResult",
        "language": "string",
        "raw_bindings": "repeated string",
        "function_id": "string",
        "managed_dependency_enabled": "bool",
        "retry_options": "RpcRetryOptions",
        "properties": "map",
    },
    "FunctionMetadataResponse": {
        "function_metadata_results": "repeated RpcFunctionMetadata",
        "result": "StatusResult",
        "use_default_metadata_indexing": "bool",
    },
    "FunctionLoadRequest": {"function_id": "string", "metadata": "RpcFunctionMetadata"},
    "FunctionLoadResponse": {"function_id": "string", "result": "StatusResult"},
    "RpcHttp": {
        "method": "string",
        "url": "string",
        "headers": "map",
        "body": "TypedData",
        "params": "map",
        "status_code": "string",
        "query": "map",
        "enable_content_negotiation": "bool",
        "cookies": "repeated string",
    },
    "TypedData": {
        "*string": "string",
        "*json": "string",
        "*bytes": "bytes",
        "*http": "RpcHttp",
        "*int": "sint64",
        "*double": "double",
    },
    "ParameterBinding": {"name": "string", "*data": "TypedData"},
    "RpcTraceContext": {"trace_parent": "string", "trace_state": "string", "attributes": "map"},
    "RetryContext": {"retry_count": "int32", "max_retry_count": "int32", "exception": "RpcException"},
    "InvocationRequest": {
        "invocation_id": "string",
        "function_id": "string",
        "input_data": "repeated ParameterBinding",
        "trigger_metadata": "map:TypedData",
        "trace_context": "RpcTraceContext",
        "retry_context": "RetryContext",
    },
    "InvocationResponse": {
        "invocation_id": "string",
        "output_data": "repeated ParameterBinding",
        "return_value": "TypedData",
        "result": "StatusResult",
    },
}
ENUMS = {
    "StatusResult": ("Status", ("Failure", "Success", "Cancelled")),
    "BindingInfo": ("Direction", ("in_", "out", "inout")),
    "RpcRetryOptions": ("RetryStrategy", ("exponential_backoff", "fixed_delay")),
}


def _enum(message: Any, name: str, values: tuple[str, ...]) -> None:
    declared = message.enum_type.add(name=name)
    for number, value in enumerate(values):
        declared.value.add(name=value, number=number)


def _field(message: Any, name: str, kind: str, number: int) -> None:
    field = message.field.add(name=name.lstrip("*"), number=number, label=1)
    if name.startswith("*"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="rpc_data" if message.name == "ParameterBinding" else "data")
        field.oneof_index = 0
    word, _, of = kind.partition(":")
    if word.startswith("repeated "):
        field.label, word = 3, word.removeprefix("repeated ")
    if word == "map":
        entry = message.nested_type.add(name=f"{field.name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _field(entry, "key", "string", 1)
        _field(entry, "value", of or "string", 2)
        field.label, field.type, field.type_name = 3, 11, f".{PACKAGE}.{message.name}.{entry.name}"
    elif word == "enum":
        field.type, field.type_name = 14, f".{PACKAGE}.{message.name}.{of}"
    elif word == "Duration":
        field.type, field.type_name = 11, ".google.protobuf.Duration"
    elif word in _TYPES:
        field.type = _TYPES[word]
    else:
        field.type, field.type_name = 11, f".{PACKAGE}.{word}"


def protos() -> SimpleNamespace:
    """Return the message classes by name."""
    file = descriptor_pb2.FileDescriptorProto(name="worker_test.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in ENUMS:
            _enum(message, *ENUMS[name])
        if name == "BindingInfo":
            _enum(message, "DataType", ("undefined", "text", "binary", "stream"))
        for number, (field, kind) in enumerate(fields.items(), start=1):
            _field(message, field, kind, number)
    pool = descriptor_pool.DescriptorPool()
    duration = descriptor_pb2.FileDescriptorProto()
    duration_pb2.DESCRIPTOR.CopyToProto(duration)
    pool.Add(duration)
    file.dependency.append(duration.name)
    pool.Add(file)
    found = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES
    }
    return SimpleNamespace(**found)
