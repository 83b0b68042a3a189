"""OCSP responses: `staple.py make FOLDER STATE` signs one as `web.ocsp`, `staple.py ask FOLDER PORT` says which state is stapled.

The folder has the authority as `ca.pem` and `ca.key`, and the server's certificate as `web.pem`.
"""

import datetime
import os
import socket
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from OpenSSL import SSL


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def make(folder, state):
    ca, own = (x509.load_pem_x509_certificate(read(folder, name)) for name in ("ca.pem", "web.pem"))
    key = serialization.load_pem_private_key(read(folder, "ca.key"), None)
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    status = ocsp.OCSPCertStatus.REVOKED if state == "revoked" else ocsp.OCSPCertStatus.GOOD
    response = ocsp.OCSPResponseBuilder().add_response(
        cert=own, issuer=ca, algorithm=hashes.SHA256(), cert_status=status, this_update=now - 2 * day,
        next_update=now - day if state == "over" else now + day,
        revocation_time=now - 3 * day if state == "revoked" else None, revocation_reason=None,
    ).responder_id(ocsp.OCSPResponderEncoding.HASH, ca).sign(key, hashes.SHA256())
    # In one step: nobody reads half of it.
    half = os.path.join(folder, "web.ocsp.half")
    with open(half, "wb") as file:
        file.write(response.public_bytes(serialization.Encoding.DER))
    os.replace(half, os.path.join(folder, "web.ocsp"))


def ask(folder, port):
    said = []
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(os.path.join(folder, "ca.pem"))
    context.set_verify(SSL.VERIFY_PEER)
    context.set_ocsp_client_callback(lambda connection, response, data: said.append(response) or True)
    connection = SSL.Connection(context, socket.create_connection(("127.0.0.1", int(port))))
    connection.request_ocsp()
    connection.set_tlsext_host_name(b"any.example")
    connection.set_connect_state()
    connection.do_handshake()
    connection.close()
    if not said or not said[0]:
        return print("none")
    response = ocsp.load_der_ocsp_response(said[0])
    authority = x509.load_pem_x509_certificate(read(folder, "ca.pem")).public_key()
    authority.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(response.signature_hash_algorithm))
    print(response.certificate_status.name.lower())


{"make": make, "ask": ask}[sys.argv[1]](*sys.argv[2:])
