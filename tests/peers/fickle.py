"""Asks for a hundred things at once and takes it back, twice, then asks once more: prints the status of that answer."""

import socket
import sys

import h2.config
import h2.connection
import h2.events

connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
stream = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
stream.settimeout(100)
connection.initiate_connection()


def ask(path):
    number = connection.get_next_available_stream_id()
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "shop.example"), (":path", path)]
    connection.send_headers(number, fields, end_stream=True)
    return number


def flush():
    stream.sendall(connection.data_to_send())


for _ in range(2):
    streams = [ask("/slow") for _ in range(100)]
    flush()
    for number in streams:
        connection.reset_stream(number, 8)
    flush()

last, status = ask("/"), None
flush()
while True:
    received = stream.recv(65536)
    assert received, "the gateway closed the connection"
    for event in connection.receive_data(received):
        if isinstance(event, h2.events.ResponseReceived) and event.stream_id == last:
            status = dict(event.headers)[":status"]
        if isinstance(event, h2.events.DataReceived):
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        assert not isinstance(event, h2.events.ConnectionTerminated), event
        if isinstance(event, h2.events.StreamEnded) and event.stream_id == last:
            print(status)
            sys.exit()
    flush()
