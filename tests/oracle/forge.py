#!/usr/bin/python3
"""Chunks that our writers would never make, sealed well: forge.py NAME=VALUE ... >chunk

NAME=VALUE changes the metadata of a small chunk; record=begin and the like make records of it.
With shape= (of the plain tensor) its payload has another size, with bytes= this one. names=N adds
so many names.
"""
import json
import struct
import sys

from sums import xxh3_128


def main():
    own = dict(a.split('=', 1) for a in sys.argv[1:])
    shape = [int(x) for x in own.pop('shape', '2,2,4,4,4').split(',')]
    names = int(own.pop('names', 0))
    size = 2
    for x in shape:
        size *= x
    size = int(own.pop('bytes', size))
    payload = b'\1' * size
    meta = {'kvchunk': '1', 'seal': '0' * 32}
    head = {'__metadata__': meta}
    if 'record' in own:
        payload = b''
    else:
        meta.update({'digest': xxh3_128(payload).hex(), 'model': 'm', 'hash': 'ab' * 32,
                     'algo': 'opaque', 'tokens': str(shape[2]), 'chunk_tokens': str(shape[2]),
                     'tp': '1', 'rank': '0', 'heads': '0:%d/%d' % (shape[3], shape[3]),
                     'layers': '0:%d/%d' % (shape[1], shape[1])})
        head['kvcache'] = {'dtype': 'BF16', 'shape': shape, 'data_offsets': [0, size]}
        if 'cipher' in own or 'codec' in own:
            head['kvcache'].update(dtype='U8', shape=[size])
            meta.update(dtype='bf16', shape=','.join(str(x) for x in shape))
    meta.update(own)
    meta.update(('%05x' % i, '') for i in range(names))
    text = json.dumps(head, separators=(',', ':')).encode()
    text += b' ' * (-(len(text) + 8) % 4096)
    region = struct.pack('<Q', len(text)) + text
    seal = xxh3_128(region).hex().encode()
    sys.stdout.buffer.write(region.replace(b'"seal":"' + b'0' * 32, b'"seal":"' + seal, 1) + payload)


main()
