"""A network behind a TUN device: answers echoes by the rules of a test.

Usage: responder.py DEVICE. Prints `ready` when the device exists. Each line on stdin is a JSON object of rules by address,
confirmed by `ok` and the time since which they apply. A rule:

  answer   reply | silent | unreachable | prohibited | ttl_exceeded | too_big | redirect (and then the reply)
           | spoofed (a reply from another host) | foreign_id | wrong_sequence | garbage | truncated | late
           | short | long (replies with another length than the request)
           | damaged | blank (replies with another content) | replayed (with the content of the echo before)
           | wrong_checksum | error_first (unreachable, and then the reply)
           | foreign_quote (unreachable, about an echo with another content)
           | double (two replies) | next_host (a reply in the name of the second next address)
  forge    addresses that it pretends to be and answers for as well, with its own identifier and the next sequence numbers
  delay    seconds until the answer; jitter: plus or minus this
  loss     share of echoes without an answer: exactly this share of each hundred, at random places
  copies   how many times the answer is sent
  mtu      larger packets that may not be fragmented are lost; next_mtu: with the error too_big, which states this MTU
  dscp     only packets of this class of service are answered

Addresses without a rule are silent. Only the standard library is used.
"""

import fcntl
import heapq
import ipaddress
import json
import os
import random
import select
import struct
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
ROUTER4 = ipaddress.ip_address("192.0.2.254").packed
ROUTER6 = ipaddress.ip_address("fd77::fe").packed
STRANGER4 = ipaddress.ip_address("192.0.2.66").packed
STRANGER6 = ipaddress.ip_address("fd77::66").packed

# Type and code of each error: ICMPv4 (RFC 792, RFC 1812), ICMPv6 (RFC 4443), and the word behind the checksum.
ERRORS4 = {"unreachable": (3, 1, 0), "prohibited": (3, 13, 0), "ttl_exceeded": (11, 0, 0), "too_big": (3, 4, 576)}
ERRORS6 = {"unreachable": (1, 0, 0), "prohibited": (1, 1, 0), "ttl_exceeded": (3, 0, 0), "too_big": (2, 0, 1280)}


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(source, destination, icmp):
    """An IP packet around an ICMP message with a checksum of zero."""
    if len(source) == 4:
        icmp = icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0, source, destination)
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + icmp
    pseudo = source + destination + struct.pack("!II", len(icmp), 58)
    icmp = icmp[:2] + struct.pack("!H", checksum(pseudo + icmp)) + icmp[4:]
    return struct.pack("!IHBB16s16s", 0x60000000, len(icmp), 58, 64, source, destination) + icmp


class Echo:
    """An echo request, taken apart; `None` from `parse` for anything else."""

    former = {}

    @staticmethod
    def parse(raw):
        version = raw[0] >> 4 if raw else 0
        if version == 4 and raw[9] == 1 and raw[(raw[0] & 15) * 4] == 8:
            return Echo(raw, raw[12:16], raw[16:20], raw[(raw[0] & 15) * 4 :], 0)
        if version == 6 and raw[6] == 58 and raw[40] == 128:
            return Echo(raw, raw[8:24], raw[24:40], raw[40:], 129)
        return None

    def __init__(self, raw, source, target, icmp, reply_type):
        self.raw, self.source, self.target, self.icmp, self.reply_type = raw, source, target, icmp, reply_type
        self.v4 = len(source) == 4
        self.dscp = (raw[1] if self.v4 else (raw[0] & 15) << 4 | raw[1] >> 4) >> 2
        # Packets of IPv6 are never fragmented on the way.
        self.whole = not self.v4 or raw[6] & 0x40 != 0

    def forged(self, addresses):
        sources = [ipaddress.ip_address(address).packed for address in addresses]
        return [self.reply(source=source, sequence=step) for source in sources for step in range(-4, 5)]

    def reply(self, source=None, identifier=0, sequence=0, payload=None):
        ident, seq = struct.unpack("!HH", self.icmp[4:8])
        ids = struct.pack("!HH", (ident + identifier) & 0xFFFF, (seq + sequence) & 0xFFFF)
        body = self.icmp[8:] if payload is None else payload
        return packet(source or self.target, self.source, bytes([self.reply_type, 0, 0, 0]) + ids + body)

    def error(self, kind, code, word):
        icmp = struct.pack("!BBHI", kind, code, 0, word) + self.raw[:84]
        return packet(ROUTER4 if self.v4 else ROUTER6, self.source, icmp)

    def redirect(self):
        if self.v4:
            icmp = struct.pack("!BBH4s", 5, 1, 0, ROUTER4) + self.raw[:84]
        else:
            icmp = struct.pack("!BBHI16s16s", 137, 0, 0, 0, ROUTER6, self.target) + self.raw[:84]
        return packet(ROUTER4 if self.v4 else ROUTER6, self.source, icmp)

    def answers(self, answer):
        errors = ERRORS4 if self.v4 else ERRORS6
        if answer in errors:
            return [self.error(*errors[answer])]
        if answer == "redirect":
            return [self.redirect(), self.reply()]
        if answer == "spoofed":
            return [self.reply(source=STRANGER4 if self.v4 else STRANGER6)]
        if answer == "next_host":
            return [self.reply(source=(int.from_bytes(self.target, "big") + 2).to_bytes(len(self.target), "big"))]
        if answer == "double":
            return [self.reply(), self.reply()]
        if answer == "foreign_id":
            return [self.reply(identifier=1)]
        if answer == "wrong_sequence":
            return [self.reply(sequence=1000)]
        if answer == "short":
            return [self.reply(payload=self.icmp[8:-1])]
        if answer == "long":
            return [self.reply(payload=self.icmp[8:] + b"m")]
        if answer == "damaged":
            return [self.reply(payload=self.icmp[8:-1] + bytes([self.icmp[-1] ^ 1]))]
        if answer == "blank":
            return [self.reply(payload=b"\x6d" * len(self.icmp[8:]))]
        if answer == "replayed":
            former = Echo.former.get(self.target, b"\0" * len(self.icmp[8:]))
            Echo.former[self.target] = self.icmp[8:]
            return [self.reply(payload=former)]
        if answer == "wrong_checksum":
            raw = bytearray(self.reply())
            raw[22 if self.v4 else 42] ^= 1
            return [bytes(raw)]
        if answer == "error_first":
            return [self.error(*errors["unreachable"]), self.reply()]
        if answer == "foreign_quote":
            other = Echo(self.raw[:-40] + bytes(40), self.source, self.target, self.icmp, self.reply_type)
            return [other.error(*errors["unreachable"])]
        if answer == "garbage":
            return [packet(self.target, self.source, random.randbytes(40)) for _ in range(3)]
        if answer == "truncated":
            errors = [self.error(*error) for error in errors.values()]
            head = 20 if self.v4 else 40
            cut = [packet(error[12:16] if self.v4 else error[8:24], self.source, error[head : head + n])
                   for error in errors for n in (4, 8, 20, 30)]
            return cut + [packet(self.target, self.source, bytes([self.reply_type, 0, 0, 0]))]
        return [self.reply()] if answer in ("reply", "late") else []


class Rule:
    def __init__(
        self, answer="reply", delay=0.0, jitter=0.0, loss=0.0, copies=1, forge=(), mtu=65535, next_mtu=None, dscp=None
    ):
        self.answer, self.delay, self.jitter, self.loss, self.copies = answer, delay, jitter, loss, copies
        self.forge, self.mtu, self.next_mtu, self.dscp = forge, mtu, next_mtu, dscp
        self.fates = []

    def answers(self, echo):
        if self.dscp not in (None, echo.dscp):
            return []
        if len(echo.raw) > self.mtu and echo.whole:
            kind, code, _ = (ERRORS4 if echo.v4 else ERRORS6)["too_big"]
            return [] if self.next_mtu is None else [echo.error(kind, code, self.next_mtu)]
        return echo.answers(self.answer) * self.copies + echo.forged(self.forge)

    def is_lost(self):
        if not self.fates:
            lost = round(self.loss * 100)
            self.fates = [True] * lost + [False] * (100 - lost)
            random.shuffle(self.fates)
        return self.fates.pop()

    def after(self):
        return max(0.0, self.delay + random.uniform(-self.jitter, self.jitter))


def main():
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", sys.argv[1].encode(), IFF_TUN | IFF_NO_PI))
    print("ready", flush=True)
    rules, pending, count = {}, [], 0
    while True:
        wait = max(0.0, pending[0][0] - time.monotonic()) if pending else None
        readable, _, _ = select.select([tun, sys.stdin], [], [], wait)
        if tun in readable:
            try:
                raw = os.read(tun, 65536)
            except OSError:
                raw = b""
            echo = Echo.parse(raw)
            rule = rules.get(echo.target) if echo else None
            if rule and not rule.is_lost():
                due = time.monotonic() + rule.after()
                for answer in rule.answers(echo):
                    count += 1
                    heapq.heappush(pending, (due, count, answer))
        if sys.stdin in readable:
            line = sys.stdin.readline()
            if not line:
                return
            for address, rule in json.loads(line).items():
                rules[ipaddress.ip_address(address).packed] = Rule(**rule)
            print("ok", time.time(), flush=True)
        while pending and pending[0][0] <= time.monotonic():
            try:
                os.write(tun, heapq.heappop(pending)[2])
            except OSError:
                pass


main()
