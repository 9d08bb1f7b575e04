#!/usr/bin/python3
"""Times new TLS connections one after another: from connect() to the end of the handshake.

usage: tls_connect.py ADDRESS NAME CA COUNT     prints microseconds, one a line
"""
import socket
import ssl
import sys
import time


def main() -> None:
    address, name, authority, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    context = ssl.create_default_context(cafile=authority)
    for _ in range(count):
        begun = time.perf_counter_ns()
        with socket.create_connection((address, 443), timeout=5) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(plain, server_hostname=name):
                print((time.perf_counter_ns() - begun) / 1000)


if __name__ == "__main__":
    main()
