#!/usr/bin/env python3
"""Writes a pcap of TLS flows for the benches. Standard library only; the same arguments give the same file.

Every flow is complete and valid: handshake, ClientHello with a server name, server flight, a request
and its answer, and an orderly end, with right checksums, sequence numbers and generous windows (a
small window would make a stream engine drop data silently).

handshakes: 13 packets and about 4 kB a flow, a mean of some 300 bytes a packet.
bulk:       the same start, then --bulk-kilobytes from the server in full segments.
"""

import argparse
import hashlib
import struct

CLIENT_MAC = bytes.fromhex("020000000001")
SERVER_MAC = bytes.fromhex("020000000002")
FIN, SYN, PSH, ACK = 1, 2, 8, 16
MSS = 1460


def checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pattern(seed: str, size: int) -> bytes:
    """Bytes that look random and are the same in every run."""
    return hashlib.shake_128(seed.encode()).digest(size)


def vector(width: int, body: bytes) -> bytes:
    return len(body).to_bytes(width, "big") + body


def extension(number: int, body: bytes) -> bytes:
    return struct.pack(">H", number) + vector(2, body)


def client_hello(name: str, seed: str) -> bytes:
    """A TLS 1.3 hello as a browser sends it, padded to 517 bytes with its record header (RFC 7685)."""
    extensions = b"".join([
        extension(0, vector(2, b"\0" + vector(2, name.encode()))),
        extension(23, b""),
        extension(10, vector(2, bytes.fromhex("001d00170018"))),
        extension(11, b"\x01\x00"),
        extension(16, vector(2, vector(1, b"h2") + vector(1, b"http/1.1"))),
        extension(13, vector(2, bytes.fromhex("040308040401050308050501080606010201"))),
        extension(51, vector(2, b"\x00\x1d" + vector(2, pattern(seed + "share", 32)))),
        extension(45, b"\x01\x01"),
        extension(43, vector(1, bytes.fromhex("03040303"))),
    ])
    ciphers = bytes.fromhex("130113021303c02bc02fc02cc030cca9cca8c013c014009c009d002f0035")
    start = b"\x03\x03" + pattern(seed + "random", 32) + vector(1, pattern(seed + "session", 32))
    start += vector(2, ciphers) + b"\x01\x00"
    padding = 512 - 4 - len(start) - 2 - len(extensions) - 4
    if padding > 0:
        extensions += extension(21, bytes(padding))
    body = start + vector(2, extensions)
    return b"\x16\x03\x01" + vector(2, b"\x01" + vector(3, body))


def record(kind: int, seed: str, size: int) -> bytes:
    return bytes([kind]) + b"\x03\x03" + vector(2, pattern(seed, size))


def server_hello(seed: str) -> bytes:
    """A TLS 1.3 ServerHello in its record: what ends the inspection of a real flow."""
    extensions = extension(51, b"\x00\x1d" + vector(2, pattern(seed + "answer share", 32)))
    extensions += extension(43, b"\x03\x04")
    body = b"\x03\x03" + pattern(seed + "answer random", 32) + vector(1, pattern(seed + "session", 32))
    body += b"\x13\x01\x00" + vector(2, extensions)
    return b"\x16\x03\x03" + vector(2, b"\x02" + vector(3, body))


class Flow:
    """One TCP connection; collects its frames as (from client, bytes)."""

    def __init__(self, number: int):
        self.number = number
        self.client = bytes([10, 1, (number >> 8) & 0xFF, number & 0xFF])
        self.server = bytes([203, 0, 113, 1 + number % 200])
        # Distinct four-tuples beyond 65,536 flows come from the port.
        self.client_port = 20000 + (number >> 16) % 40000
        self.next = {True: (number * 2654435761) & 0xFFFFFFFF, False: (number * 40503 + 7) & 0xFFFFFFFF}
        self.frames: list[tuple[bool, bytes]] = []

    def send(self, from_client: bool, flags: int, payload: bytes = b"") -> None:
        source, target = (self.client, self.server) if from_client else (self.server, self.client)
        ports = (self.client_port, 443) if from_client else (443, self.client_port)
        options = bytes.fromhex("020405b4") + b"\x01\x03\x03\x07" if flags & SYN else b""
        acknowledged = self.next[not from_client] if flags & ACK else 0
        tcp = struct.pack(">HHIIBBHHH", *ports, self.next[from_client], acknowledged,
                          (20 + len(options)) << 2, flags, 65535, 0, 0) + options + payload
        pseudo = source + target + struct.pack(">HH", 6, len(tcp))
        tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), len(self.frames), 0x4000, 64, 6, 0) + source + target
        ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
        macs = SERVER_MAC + CLIENT_MAC if from_client else CLIENT_MAC + SERVER_MAC
        self.frames.append((from_client, (macs + b"\x08\x00" + ip + tcp).ljust(60, b"\0")))
        step = len(payload) + bool(flags & SYN) + bool(flags & FIN)
        self.next[from_client] = (self.next[from_client] + step) & 0xFFFFFFFF


def build_flow(number: int, name: str, bulk_bytes: int) -> list[tuple[bool, bytes]]:
    flow = Flow(number)
    seed = str(number)
    flow.send(True, SYN)
    flow.send(False, SYN | ACK)
    flow.send(True, ACK)
    flow.send(True, PSH | ACK, client_hello(name, seed))
    flow.send(False, ACK)
    flight = server_hello(seed) + record(20, seed, 1) + record(23, seed + "flight", 2400)
    flow.send(False, ACK, flight[:MSS])
    flow.send(False, PSH | ACK, flight[MSS:])
    flow.send(True, PSH | ACK, record(20, seed, 1) + record(23, seed + "finished", 53) + record(23, seed + "get", 90))
    flow.send(False, PSH | ACK, record(23, seed + "answer", 420))
    for sent in range(0, bulk_bytes, MSS):
        flow.send(False, ACK, record(23, "bulk", MSS - 5))
        if sent // MSS % 2:
            flow.send(True, ACK)
    flow.send(True, ACK)
    flow.send(True, FIN | ACK)
    flow.send(False, FIN | ACK)
    flow.send(True, ACK)
    return flow.frames


def interleaved(flows: list[list[tuple[bool, bytes]]], width: int):
    """`width` flows at a time take turns, as on a wire; a flow's own order stays."""
    for start in range(0, len(flows), width):
        group = flows[start:start + width]
        for turn in range(max(len(frames) for frames in group)):
            for frames in group:
                if turn < len(frames):
                    yield frames[turn]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--names", type=int, default=1000, help="distinct server names (default: %(default)s)")
    parser.add_argument("--suffix", default="bench.test", help="names are host-N.SUFFIX (default: %(default)s)")
    parser.add_argument("--kind", choices=["handshakes", "bulk"], default="handshakes")
    parser.add_argument("--bulk-kilobytes", type=int, default=256, help="of each flow (default: %(default)s)")
    parser.add_argument("--width", type=int, default=16, help="flows that take turns (default: %(default)s)")
    parser.add_argument("--direction", choices=["both", "client", "server"], default="both",
                        help="write only what one side sends, for a port each")
    arguments = parser.parse_args()

    bulk_bytes = arguments.bulk_kilobytes * 1024 if arguments.kind == "bulk" else 0
    flows = [build_flow(number, f"host-{number % arguments.names}.{arguments.suffix}", bulk_bytes)
             for number in range(arguments.flows)]
    packets = total = 0
    with open(arguments.output, "wb") as output:
        output.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for index, (from_client, frame) in enumerate(interleaved(flows, arguments.width)):
            if arguments.direction != "both" and from_client != (arguments.direction == "client"):
                continue
            # Ten microseconds apart, whichever side is left out.
            output.write(struct.pack("<IIII", 1_700_000_000 + index // 100_000, index % 100_000 * 10,
                                     len(frame), len(frame)) + frame)
            packets += 1
            total += len(frame)
    print(f"{arguments.output}: {arguments.flows} flows, {packets} packets, "
          f"{packets / arguments.flows:.1f} a flow, {total / packets:.0f} bytes a packet")


if __name__ == "__main__":
    main()
