"""Follows an execution with the official client until it says that it has ended.

Prints its messages as one JSON array, byte for byte as they came.
"""

import json
import sys

from durable_streams import stream

TERMINAL = {"completed", "failed", "cancelled"}


def main(url: str, live: str) -> None:
    decoder = json.JSONDecoder()
    rest, parts = "", []
    with stream(url, offset="-1", live=live) as response:
        for text in response.iter_text():
            rest += text
            # A response or an event is one array; a piece of text may end within one.
            while rest:
                try:
                    entries, end = decoder.raw_decode(rest)
                except json.JSONDecodeError:
                    break
                if entries:
                    parts.append(rest[1 : end - 1])
                rest = rest[end:]
                # This release of the client does not know that a stream is closed.
                if entries and entries[-1]["type"] == "status" and entries[-1]["payload"]["status"] in TERMINAL:
                    sys.stdout.buffer.write(f"[{','.join(parts)}]".encode())
                    return
    raise SystemExit("the stream ended before the execution")


main(*sys.argv[1:])
