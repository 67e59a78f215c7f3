"""Puts one pocket model's vision tower in front of another's language model.

    python3 tests/findings/graft.py SEES SPEAKS OUT

SEES and SPEAKS are model folders of the same shape; OUT gets SPEAKS's files with the tensors `visual.*` of SEES. The two
do not fit together until they are trained on. Wants nothing but Python.
"""

import json
import shutil
import struct
import sys
from pathlib import Path


def read(path):
    """The header of a safetensors file without its metadata, and its data."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    return header, raw[8 + length :]


def main(sees, speaks, out):
    weights = "model.safetensors"
    (eyes, eyes_data), (header, data) = read(sees / weights), read(speaks / weights)
    shape = lambda tensors: {name: (t["dtype"], t["shape"]) for name, t in tensors.items()}
    if shape(eyes) != shape(header):
        raise SystemExit(f"{sees} and {speaks} are models of different shapes")
    grafted = bytearray(data)
    for name, tensor in header.items():
        if name.startswith("visual."):
            grafted[slice(*tensor["data_offsets"])] = eyes_data[slice(*eyes[name]["data_offsets"])]
    shutil.copytree(speaks, out)
    head = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    head += b" " * (-len(head) % 8)
    (out / weights).write_bytes(struct.pack("<Q", len(head)) + head + grafted)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*map(Path, sys.argv[1:]))
