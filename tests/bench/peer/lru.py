"""Replay a trace over an LRU of so many blocks: lru.py TRACE CAPACITY.

The plain Python that people write for this: an ordered dict, references one by
one, and the usable prefix of each request.
"""
import json
import sys
from collections import OrderedDict

with open(sys.argv[1], encoding="utf-8") as f:
    requests = [json.loads(line)["hash_ids"] for line in f if line.strip()]
cap, live, hits, prefix, refs = int(sys.argv[2]), OrderedDict(), 0, 0, 0
for ids in requests:
    refs += len(ids)
    for b in ids:
        if b not in live:
            break
        prefix += 1
    for b in ids:
        if b in live:
            live.move_to_end(b)
            hits += 1
            continue
        if len(live) >= cap:
            live.popitem(last=False)
        live[b] = None
print("%.6f %.6f" % (hits / refs, prefix / refs))
