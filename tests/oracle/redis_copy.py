#!/usr/bin/python3
"""Files to Redis keys and back, through Debian's python3-redis: a second client.

usage: redis_copy.py push DIR PORT [DB] | pull DIR PORT [DB]
"""
import os
import sys

import redis

what, folder, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
r = redis.Redis(host="127.0.0.1", port=port, db=int(sys.argv[4]) if len(sys.argv) > 4 else 0)
if what == 'push':
    for top, _, files in os.walk(folder):
        for f in files:
            path = os.path.join(top, f)
            with open(path, 'rb') as data:
                assert r.set(os.path.relpath(path, folder), data.read())
else:
    for key in r.scan_iter(count=1000):
        path = os.path.join(folder, key.decode())
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as out:
            out.write(r.get(key))
