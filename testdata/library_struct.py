import struct

struct.unpack("<I", b"abc")
