"""Calls a gRPC server through the gateway: `grpc_client.py ADDRESS CA`, where CA is `-` without TLS.

Fails with the first thing that is not as it has to be; else says `all well`.
"""

import queue
import sys
from concurrent import futures

import grpc

PATIENCE = 100
OPTIONS = [("grpc.max_receive_message_length", 16 << 20), ("grpc.ssl_target_name_override", "any.example"),
           ("grpc.enable_retries", 0)]


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r}, not {expected!r}")


def error_of(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return error
    sys.exit("a call went well that should not have")


def main(address, ca):
    if ca == "-":
        channel = grpc.insecure_channel(address, OPTIONS + [("grpc.default_authority", "any.example")])
    else:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(open(ca, "rb").read()), OPTIONS)
    grpc.channel_ready_future(channel).result(PATIENCE)
    method = "/echo.Echo/{}".format
    unary = channel.unary_unary(method("Unary"))
    seen = channel.unary_unary(method("Seen"))

    # Unary, with metadata, some of it binary, both ways.
    answer, call = unary.with_call(b"hello", timeout=PATIENCE, metadata=(("x-own", "mine"), ("x-own-bin", b"\0\xfe")))
    check("unary", answer, b"hello")
    first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
    check("initial metadata", (first.get("x-back-own"), first.get("x-back-own-bin")), ("mine", b"\0\xfe"))
    check("trailing metadata", (last.get("x-trailing"), last.get("x-trailing-bin")), ("yes", b"\0\1\xff"))
    check("an empty message", unary(b"", timeout=PATIENCE), b"")
    large = bytes(range(256)) * (3 << 12)
    check("three megabytes", unary(large, timeout=PATIENCE) == large, True)

    with futures.ThreadPoolExecutor(32) as pool:
        calls = [pool.submit(unary, b"%d" % number, timeout=PATIENCE) for number in range(200)]
        check("many at once", [int(call.result()) for call in calls], list(range(200)))

    # Streams: down, up, and both at once, where each reply is there before the next request is made.
    numbers = channel.unary_stream(method("Download"))(b"2000", timeout=PATIENCE)
    check("a stream down", [int(number) for number in numbers], list(range(2000)))
    sizes = (b"x" * 1000 for _ in range(2000))
    check("a stream up", channel.stream_unary(method("Upload"))(sizes, timeout=PATIENCE), b"2000000")
    said = queue.Queue()
    replies = channel.stream_stream(method("Converse"))(iter(said.get, None), timeout=PATIENCE)
    for number in range(50):
        said.put(b"%d" % number)
        check("a reply", next(replies), b"re: %d" % number)
    said.put(None)
    check("the end of a conversation", list(replies), [])

    # Time that runs out, and calls that are given up: the server hears of both.
    error = error_of(channel.unary_unary(method("Sleep")), b"deadline", timeout=2)
    check("a deadline", error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    check("the server hears of the deadline", seen(b"deadline", timeout=PATIENCE), b"yes")
    call = channel.unary_unary(method("Sleep")).future(b"cancel", timeout=PATIENCE)
    check("a call before it", unary(b"x", timeout=PATIENCE), b"x")
    call.cancel()
    check("the server hears of the end", seen(b"cancel", timeout=PATIENCE), b"yes")

    # Errors without a message, after one, of the server's codec, and of the gateway itself.
    error = error_of(channel.unary_unary(method("Fail")), b"", timeout=PATIENCE)
    check("an error", (error.code(), error.details()),
          (grpc.StatusCode.INVALID_ARGUMENT, "not like this: 100% gr\u00fcn"))
    check("its metadata", dict(error.trailing_metadata()).get("x-why"), "because")
    stream = channel.unary_stream(method("FailLate"))(b"", timeout=PATIENCE)
    check("a first message", next(stream), b"first")
    error = error_of(next, stream)
    check("a late error", (error.code(), error.details()), (grpc.StatusCode.DATA_LOSS, "and no more"))
    error = error_of(channel.unary_unary(method("Nothing")), b"", timeout=PATIENCE)
    check("no such method", error.code(), grpc.StatusCode.UNIMPLEMENTED)
    error = error_of(channel.unary_unary("/dead.Dead/Call"), b"", timeout=PATIENCE)
    check("nobody there", error.code(), grpc.StatusCode.UNAVAILABLE)
    error = error_of(channel.unary_unary("/nowhere.Nowhere/Call"), b"", timeout=PATIENCE)
    check("no such route", error.code(), grpc.StatusCode.UNIMPLEMENTED)
    check("after all that", unary(b"end", timeout=PATIENCE), b"end")
    print("all well")


main(*sys.argv[1:])
