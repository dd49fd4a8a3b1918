import base64
import collections
import csv
import hashlib
import io
import itertools
import json
import urllib.parse
import uuid
import zlib

print(hashlib.sha256(b"x").hexdigest(), base64.b64encode(b"hello"), zlib.crc32(b"abc"))
print(collections.Counter("mississippi").most_common(2), list(itertools.pairwise("abc")))
print(list(csv.DictReader(io.StringIO("a,b\n1,2\n"))), json.dumps({"é": [1, None, True]}, ensure_ascii=False))
print(urllib.parse.urlencode({"q": "a b"}), uuid.uuid5(uuid.NAMESPACE_DNS, "example.org"))
