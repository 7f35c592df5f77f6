"""Replay a trace over an LRU of so many blocks: lru.py TRACE CAPACITY [bound].

The plain Python that people write for this: an ordered dict, references one by
one, and the usable prefix of each request; with "bound" also what an endless
cache would hit, and Belady's bound with a heap.
"""
import heapq
import json
import sys
from collections import OrderedDict


def lru(requests, cap):
    live, hits, prefix = OrderedDict(), 0, 0
    for ids in requests:
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
    return hits, prefix


def belady(refs, cap):
    never, following, after = len(refs), [0] * len(refs), {}
    for i in range(len(refs) - 1, -1, -1):
        following[i] = after.get(refs[i], never)
        after[refs[i]] = i
    live, heap, hits = {}, [], 0
    for b, use in zip(refs, following):
        hits += b in live
        if use == never:
            live.pop(b, None)
            continue
        live[b] = use
        heapq.heappush(heap, (-use, b))
        while len(live) > cap:
            use, b = heapq.heappop(heap)
            if live.get(b) == -use:
                del live[b]
    return hits


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        requests = [json.loads(line)["hash_ids"] for line in f if line.strip()]
    cap, n = int(sys.argv[2]), sum(map(len, requests))
    found = lru(requests, cap)
    if len(sys.argv) > 3:
        refs = [b for ids in requests for b in ids]
        found += len(refs) - len(set(refs)), belady(refs, cap)
    print(*("%.6f" % (hits / n) for hits in found))


if __name__ == "__main__":
    main()
