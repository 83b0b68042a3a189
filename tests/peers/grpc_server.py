"""A gRPC server on a port that it says first: messages are bytes, methods are of the service `echo.Echo`."""

import threading
import time
from concurrent import futures

import grpc

cancelled = []


def reply(context):
    """What came beside the messages goes back beside them."""
    given = {key: value for key, value in context.invocation_metadata() if key.startswith("x-")}
    context.send_initial_metadata(tuple((f"x-back-{key[2:]}", value) for key, value in given.items()))
    context.set_trailing_metadata((("x-trailing", "yes"), ("x-trailing-bin", b"\0\1\xff")))


def unary(request, context):
    reply(context)
    return request


def download(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def upload(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def converse(requests, context):
    for request in requests:
        yield b"re: " + request


def sleep(request, context):
    """Until nobody waits for it any more."""
    gone = threading.Event()
    if not context.add_callback(gone.set):
        # It was over before it began.
        gone.set()
    if gone.wait(90):
        cancelled.append(request)
    return b"late"


def fail(request, context):
    context.set_trailing_metadata((("x-why", "because"),))
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not like this: 100% gr\u00fcn")


def fail_late(request, context):
    yield b"first"
    context.abort(grpc.StatusCode.DATA_LOSS, "and no more")


def seen(request, context):
    """Whether a call was cancelled, waited for."""
    until = time.monotonic() + 60
    while request not in cancelled and time.monotonic() < until:
        time.sleep(0.01)
    return b"yes" if request in cancelled else b"no"


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Download": grpc.unary_stream_rpc_method_handler(download),
    "Upload": grpc.stream_unary_rpc_method_handler(upload),
    "Converse": grpc.stream_stream_rpc_method_handler(converse),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "Seen": grpc.unary_unary_rpc_method_handler(seen),
}

server = grpc.server(futures.ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", 16 << 20)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", METHODS),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
