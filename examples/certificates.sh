#!/bin/sh
# Makes the certificates of doors.toml beside it, for thirty days: an authority of one's own, and what it vouches for.
set -eu
cd "$(dirname "$0")"
umask 077

new() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
# Of whom, for which names, what for.
certify() {
    new "$1.key"
    printf 'subjectAltName=%s\nextendedKeyUsage=%s\n' "$2" "$3" >"$1.ext"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.pem" 2>/dev/null
    rm "$1.csr" "$1.ext"
}

new ca.key
openssl req -x509 -new -key ca.key -subj "/CN=examples" -days 30 -out ca.pem
certify shop "DNS:shop.example,DNS:*.shop.example,DNS:localhost,IP:127.0.0.1" serverAuth
certify client "DNS:partner.example" clientAuth
# What `curl --cert` takes.
cat client.key >>client.pem
rm -f ca.srl
