"""What a well-behaved client never sends. Prints what came back, then how the connection ended.

probe.py tls PORT ADDRESS NAME SIZES [PAUSE]   TLS 1.3 to 443, whose hello is cut into records of these sizes, the
                                               last for all that is left, PAUSE seconds apart; then a request
                                               for /. In NAME a % stands for NUL.
probe.py say PORT ADDRESS TO TEXT...           each text, with escapes as in Python, once the one before was answered
"""
import socket
import ssl
import sys
import time


def connect(address, to, port):
    connection = socket.create_connection((address, to), timeout=10, source_address=("", int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def records(hello, sizes):
    """The handshake message anew in records, cut anywhere (RFC 8446 section 5.1)."""
    message = hello[5:]
    assert len(message) == int.from_bytes(hello[3:5], "big"), "the hello is one record"
    for size in [int(text) for text in sizes.split(",") if text] + [len(message)]:
        piece, message = message[:size], message[size:]
        if piece:
            yield b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece


def tls(port, address, name, sizes, pause="0"):
    context = ssl.create_default_context()   # trusts SSL_CERT_FILE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name.replace("%", "-"))
    connection = connect(address, 443, port)

    def until_done(step, *arguments):
        while True:
            try:
                return step(*arguments)
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                data = connection.recv(65536)
                incoming.write(data) if data else incoming.write_eof()

    try:
        session.do_handshake()
    except ssl.SSLWantReadError:   # it has said its hello
        hello = outgoing.read().replace(name.replace("%", "-").encode(), name.replace("%", "\0").encode())
        for record in records(hello, sizes):
            connection.sendall(record)
            time.sleep(float(pause))
    until_done(session.do_handshake)
    session.write(f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode())
    page = more = until_done(session.read, 65536)
    while more and b"hello" not in page:
        page += (more := until_done(session.read, 65536))
    print(page.decode())


def say(port, address, to, *texts):
    connection = connect(address, to, port)
    for text in texts:
        connection.sendall(text.encode().decode("unicode_escape").encode("latin-1"))
        answer = connection.recv(65536)
        print(answer.decode("latin-1"))
        if not answer:
            return


try:
    {"tls": tls, "say": say}[sys.argv[1]](*sys.argv[2:])
    print("ended in order")
except OSError as error:   # TLS alerts, resets and time-outs among them
    print(type(error).__name__, error)
