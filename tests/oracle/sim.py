#!/usr/bin/env python3
"""Independent replay of a trace: the figures tests/kvstat-sim.t expects.

usage: sim.py TRACE CAPACITY...     prints "policy capacity hits prefix" lines

Written from the definitions of the policies, slow and plain: every choice of a
victim is a search through all that is resident. TRACE has one JSON object a line
with its block names in "keys" or "hash_ids". Shares no code with the C.
"""
import json
import sys


class Cache:
    """Resident blocks as a dict of records; victim() picks the one to leave."""
    tail_first = False

    def __init__(self, room):
        self.room, self.live, self.clock = room, {}, 0

    def has(self, key):
        return key in self.live

    def ref(self, key, place):
        self.clock += 1
        if key in self.live:
            self.used(key, place)
            return 1
        if len(self.live) == self.room:
            gone = min(self.live, key=lambda k: self.live[k])
            self.leaves(gone, self.live.pop(gone))
        self.enters(key, place)
        return 0

    def leaves(self, key, record):
        pass


class Fifo(Cache):
    def enters(self, key, place):
        self.live[key] = self.clock

    def used(self, key, place):
        pass


class Lru(Fifo):
    def used(self, key, place):
        self.live[key] = self.clock


class Lfu(Cache):
    def rank(self, uses, place):
        return (uses, self.clock)

    def enters(self, key, place):
        self.n = getattr(self, "n", {})
        self.n[key] = 1
        self.live[key] = self.rank(1, place)

    def used(self, key, place):
        self.n[key] += 1
        self.live[key] = self.rank(self.n[key], place)


class LengthAware(Lfu):
    def rank(self, uses, place):
        return (uses, -place, self.clock)


class Gdsf(Lfu):
    tail_first = True
    level = 0

    def rank(self, uses, place):
        return (self.level + uses, self.clock)

    def leaves(self, key, record):
        self.level = record[0]


class Lru2(Cache):
    tail_first = True

    def __init__(self, room):
        super().__init__(room)
        self.when = {}

    def enters(self, key, place):
        before = self.when.get(key, 0)
        self.when[key] = self.clock
        self.live[key] = (before, self.clock)

    used = enters


class Lists:
    """Policies of several queues; each queue a list, oldest first."""
    tail_first = True
    resident = ()

    def has(self, key):
        return any(key in q for q in self.resident)

    def size(self):
        return sum(len(q) for q in self.resident)


class TwoQ(Lists):
    def __init__(self, room):
        self.room, self.kin, self.kout = room, max(1, room // 4), max(1, room // 2)
        self.new, self.main, self.out = [], [], []
        self.resident = (self.new, self.main)

    def ref(self, key, place):
        if key in self.main:
            self.main.remove(key)
            self.main.append(key)
            return 1
        if key in self.new:
            return 1
        if self.size() == self.room:
            if len(self.new) > self.kin or not self.main:
                self.out.append(self.new.pop(0))
                del self.out[:max(0, len(self.out) - self.kout)]
            else:
                self.main.pop(0)
        if key in self.out:
            self.out.remove(key)
            self.main.append(key)
        else:
            self.new.append(key)
        return 0


class Arc(Lists):
    def __init__(self, room):
        self.c, self.p = room, 0
        self.t1, self.t2, self.b1, self.b2 = [], [], [], []
        self.resident = (self.t1, self.t2)

    def replace(self, in_b2):
        n = len(self.t1)
        if n and (n > self.p or (in_b2 and n == int(self.p))) or not self.t2:
            self.b1.append(self.t1.pop(0))
        else:
            self.b2.append(self.t2.pop(0))

    def ref(self, key, place):
        for q in self.resident:
            if key in q:
                q.remove(key)
                self.t2.append(key)
                return 1
        n1, n2 = len(self.b1), len(self.b2)
        if key in self.b1 or key in self.b2:
            in_b2 = key in self.b2
            if in_b2:
                self.p = max(0, self.p - max(1, n1 / n2))
            else:
                self.p = min(self.c, self.p + max(1, n2 / n1))
            if self.size() == self.c:
                self.replace(in_b2)
            (self.b2 if in_b2 else self.b1).remove(key)
            self.t2.append(key)
            return 0
        if len(self.t1) + n1 == self.c:
            if n1:
                self.b1.pop(0)
                self.replace(False)
            else:
                self.t1.pop(0)
        elif self.size() == self.c:
            if self.size() + n1 + n2 == 2 * self.c:
                self.b2.pop(0)
            self.replace(False)
        self.t1.append(key)
        return 0


class S3Fifo(Lists):
    def __init__(self, room):
        self.room, self.small_room = room, max(1, room // 10)
        self.main_room = room - self.small_room
        self.small, self.main, self.ghost, self.f = [], [], [], {}
        self.resident = (self.small, self.main)

    def from_main(self):
        while self.main:
            key = self.main.pop(0)
            if not self.f[key]:
                return
            self.f[key] -= 1
            self.main.append(key)

    def from_small(self):
        while self.small:
            key = self.small.pop(0)
            if self.f[key] < 2:
                self.ghost.append(key)
                del self.ghost[:max(0, len(self.ghost) - self.main_room)]
                return
            self.f[key] = 0
            self.main.append(key)
            if len(self.main) > self.main_room:
                return self.from_main()
        self.from_main()

    def ref(self, key, place):
        if self.has(key):
            self.f[key] = min(3, self.f[key] + 1)
            return 1
        while self.size() >= self.room:
            if len(self.small) >= self.small_room or not self.main:
                self.from_small()
            else:
                self.from_main()
        self.f[key] = 0
        if key in self.ghost:
            self.ghost.remove(key)
            self.main.append(key)
        else:
            self.small.append(key)
        return 0


class Sieve(Lists):
    def __init__(self, room):
        self.room, self.q, self.seen, self.hand = room, [], {}, 0
        self.resident = (self.q,)

    def ref(self, key, place):
        if key in self.q:
            self.seen[key] = True
            return 1
        if len(self.q) == self.room:
            at = self.hand if self.hand < len(self.q) else 0
            while self.seen[self.q[at]]:
                self.seen[self.q[at]] = False
                at = (at + 1) % len(self.q)
            self.q.pop(at)
            self.hand = at if at < len(self.q) else 0
            if at == len(self.q):
                self.hand = len(self.q) + 1     # came to the newest: start again at the oldest
        self.q.append(key)
        self.seen[key] = False
        return 0


class WTinyLfu(Lists):
    def __init__(self, room):
        self.room, self.window_room = room, max(1, room // 100)
        self.protected_room = (room - self.window_room) * 8 // 10
        self.window, self.probation, self.protected = [], [], []
        self.resident = (self.window, self.probation, self.protected)
        self.count, self.refs = {}, 0

    def ref(self, key, place):
        self.count[key] = self.count.get(key, 0) + 1
        self.refs += 1
        if self.refs == 10 * self.room:
            self.refs = 0
            self.count = {k: n // 2 for k, n in self.count.items() if n > 1}
        for q in (self.window, self.protected):
            if key in q:
                q.remove(key)
                q.append(key)
                return 1
        if key in self.probation:
            self.probation.remove(key)
            self.protected.append(key)
            if len(self.protected) > self.protected_room:
                self.probation.append(self.protected.pop(0))
            return 1
        self.window.append(key)
        if len(self.window) > self.window_room:
            new = self.window.pop(0)
            main = self.probation or self.protected
            if self.size() < self.room:
                self.probation.append(new)
            elif self.count.get(new, 0) > self.count.get(main[0], 0):
                main.pop(0)
                self.probation.append(new)
        return 0


POLICIES = {"fifo": Fifo, "lru": Lru, "lfu": Lfu, "length-aware": LengthAware, "gdsf": Gdsf,
            "lru2": Lru2, "2q": TwoQ, "arc": Arc, "s3fifo": S3Fifo, "sieve": Sieve,
            "w-tinylfu": WTinyLfu}


def replay(requests, cache):
    hits = prefix = 0
    for keys in requests:
        for key in keys:
            if not cache.has(key):
                break
            prefix += 1
        places = range(len(keys))
        for i in reversed(places) if cache.tail_first else places:
            hits += cache.ref(keys[i], i)
    return hits, prefix


def best(requests, room):
    """Belady's MIN with bypass: furthest next use leaves, or does not enter."""
    refs = [k for r in requests for k in r]
    future = {}
    for i, k in enumerate(refs):
        future.setdefault(k, []).append(i)
    live, hits = set(), 0

    def after(k):
        return future[k][0] if future[k] else len(refs)
    for k in refs:
        future[k].pop(0)
        if k in live:
            hits += 1
            continue
        live.add(k)
        if len(live) > room:
            live.remove(max(live, key=after))
    return hits


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        lines = [json.loads(line) for line in f]
    requests = [line["keys"] if "keys" in line else line["hash_ids"] for line in lines]
    for room in map(int, sys.argv[2:]):
        for name in sorted(POLICIES):
            print(name, room, *replay(requests, POLICIES[name](room)))
        print("min", room, best(requests, room))


if __name__ == "__main__":
    main()
