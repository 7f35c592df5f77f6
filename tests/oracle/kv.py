#!/usr/bin/python3
"""An independent reader and writer of KV formats: kvchunk(5) streams, LMCache's and vLLM's files.

Written from the descriptions of the formats, with nothing but struct, hashlib, json and numpy:
what our programs write is compared with what comes out here, and the other way round.
All KV is 16-bit, [2][layers][tokens][heads][head_dim].
"""
import argparse
import hashlib
import json
import os
import struct
import sys
import urllib.parse

import numpy as np

from sums import blake3, xxh3_128

SIZES = {'BF16': 2, 'F16': 2, 'U8': 1, 'F32': 4}


def die(text):
    sys.exit('oracle: ' + text)


# ---- safetensors ----

def parse(data):
    """Metadata and {name: (dtype, shape, bytes)} of a safetensors file, its rules checked."""
    def pairs(items):
        d = dict(items)
        if len(d) != len(items):
            die('a name stands twice')
        return d

    n = struct.unpack('<Q', data[:8])[0]
    if n > len(data) - 8 or data[8:9] != b'{':
        die('no safetensors header')
    head = json.loads(data[8:8 + n].decode(), object_pairs_hook=pairs)
    meta = head.pop('__metadata__', {})
    body, at, out = data[8 + n:], 0, {}
    for name, t in sorted(head.items(), key=lambda x: x[1]['data_offsets']):
        a, b = t['data_offsets']
        size = int(np.prod(t['shape'], dtype=object)) * SIZES[t['dtype']]
        if a != at or b - a != size:
            die('%s: a hole, or a wrong size' % name)
        out[name] = t['dtype'], t['shape'], body[a:b]
        at = b
    if at != len(body):
        die('tensors end at %d of %d' % (at, len(body)))
    return meta, out


def build(tensors, meta=None):
    """A file of 16-bit tensors of one type, sorted by name as the reference writer does."""
    head, at = {}, 0
    if meta:
        head['__metadata__'] = meta
    for name in sorted(tensors):
        t = tensors[name]
        head[name] = {'dtype': 'BF16', 'shape': list(t.shape), 'data_offsets': [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(head, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    return struct.pack('<Q', len(text)) + text + b''.join(tensors[n].tobytes()
                                                           for n in sorted(tensors))


def load(path):
    """[2][L][T][H][D] of a file with model.layers.N.self_attn.k and .v."""
    with open(path, 'rb') as f:
        meta, t = parse(f.read())
    n = len(t) // 2
    kv = [[np.frombuffer(t['model.layers.%d.self_attn.%s' % (i, c)][2], '<u2')
           .reshape(t['model.layers.%d.self_attn.%s' % (i, c)][1]) for i in range(n)] for c in 'kv']
    return meta, np.array(kv)


# ---- hashes of tokens ----

def cbor(x):
    def head(major, n):
        for size, code, form in ((24, None, 'B'), (1 << 8, 24, 'B'), (1 << 16, 25, '>H'),
                                 (1 << 32, 26, '>I'), (1 << 64, 27, '>Q')):
            if n < size:
                if code is None:
                    return bytes([major << 5 | n])
                return bytes([major << 5 | code]) + struct.pack(form, n)
    if x is None:
        return b'\xf6'
    if isinstance(x, int):
        return head(0, x)
    if isinstance(x, bytes):
        return head(2, len(x)) + x
    if isinstance(x, str):
        return head(3, len(x.encode())) + x.encode()
    return head(4, len(x)) + b''.join(cbor(i) for i in x)


def sha(b):
    return hashlib.sha256(b).digest()


def hashes(algo, tokens, n):
    """Names of whole chunks: bytes, or ints as LMCache prints them."""
    out = []
    parts = [tuple(tokens[i:i + n]) for i in range(0, len(tokens) - n + 1, n)]
    if algo == 'blake3':
        h = blake3(bytes(12))
        for p in parts:
            h = blake3(h + b''.join(struct.pack('>I', t) for t in p))
            out.append(h)
    elif algo == 'lmcache-builtin':
        h = 5313149338359954478         # hash("0") under PYTHONHASHSEED=0, CPython 3.11
        for p in parts:
            h = hash((h, p, ()))
            out.append(h)
    elif algo == 'lmcache-sha256_cbor':
        h = int.from_bytes(sha(cbor('0'))[:8], 'big')
        for p in parts:
            h = int.from_bytes(sha(cbor((h, p, ())))[:8], 'big')
            out.append(h)
    elif algo == 'vllm-sha256_cbor':
        h = sha(cbor('0'))
        for p in parts:
            h = sha(cbor((h, p, None)))
            out.append(h)
    else:
        die('algorithm ' + algo)
    return out


def text(h):
    return h.hex() if isinstance(h, bytes) else '%x' % h


def as_bytes(h):
    return h if isinstance(h, bytes) else (h % 2**64).to_bytes(8, 'big')


# ---- stores of engines ----

def pages(part, layout, block):
    """A rank's chunk as engine pages: layers, each of blocks. [L][blocks][bytes]"""
    c, layers, tokens, heads, dim = part.shape
    x = part.reshape(2, layers, tokens // block, block, heads, dim)
    if layout == 'g3-nhd':
        x = np.concatenate([x[0], x[1]], axis=-1)
    elif layout == 'g3-hnd':
        x = np.concatenate([x[0], x[1]], axis=-1).transpose(0, 1, 3, 2, 4)
    elif layout == 'g2-nhd':
        x = x.transpose(1, 2, 0, 3, 4, 5)
    elif layout == 'g2-hnd':
        x = x.transpose(1, 2, 0, 4, 3, 5)
    else:
        die('layout ' + layout)
    return np.ascontiguousarray(x).reshape(layers, tokens // block, -1)


def tier_base(o, layers, llmd):
    group = {'block_size' if llmd else 'tokens_per_block': o.block,
             'layer_names': ['model.layers.%d.self_attn.attn' % i for i in range(layers)]}
    fields = {'model_name': o.model, 'hash_block_size' if llmd else 'tokens_per_hash': o.block,
              'gpu_blocks_per_file' if llmd else 'blocks_per_file': o.chunk // o.block,
              'tp_size': o.tp, 'pp_size': 1, 'pcp_size': 1, 'dcp_size': 1,
              'dtype': 'torch.bfloat16', 'kv_cache_groups': [group], 'inference_engine': 'vllm'}
    if o.tp > 1:
        fields['parallel_agnostic'] = False
    digest = sha(json.dumps(fields, sort_keys=True, separators=(',', ':')).encode()).hex()[:12]
    return o.model.replace('/', '_') + '_' + digest, json.dumps(fields, indent=2).encode()


def objects(o, kv, names):
    """(name, bytes) of everything that a store of this form holds."""
    layers = kv.shape[1]
    heads = kv.shape[3] // o.tp
    tier = o.form in ('vllm-fs', 'llmd-fs')
    if tier:
        base, config = tier_base(o, layers, o.form == 'llmd-fs')
        yield base + '/config.json', config
    for i, h in enumerate(names):
        for rank in range(o.tp):
            part = kv[:, :, i * o.chunk:(i + 1) * o.chunk, rank * heads:(rank + 1) * heads]
            part = np.ascontiguousarray(part)
            if tier:
                p = pages(part, o.layout, o.block)
                x = text(h)
                p = p.transpose(1, 0, 2) if o.form == 'llmd-fs' else p
                yield '%s_r%d/%s/%s_g0/%s.bin' % (base, rank, x[:3], x[3:5], x), p.tobytes()
            elif o.form.startswith('lmcache-mp'):
                yield mp_name(o, text(as_bytes(h)), rank), part.tobytes()
            else:
                yield from engine_objects(o, text(h), rank, part)


def mp_name(o, h, rank):
    slash = '-SEP-' if 'fs' in o.form else '_' if 's3' in o.form else '/'
    word = '%02x%02x%02x%02x' % (o.tp, rank, o.tp, rank)
    fields = [o.model.replace('/', slash), ('0x' if 'fs' in o.form else '') + word]
    fields += [] if o.form.endswith('2') else ['0']
    fields += [h] + ([o.salt] if o.salt else [])
    return '@'.join(fields) + ('.data' if 'fs' in o.form else '')


def engine_objects(o, h, rank, part):
    c, layers, tokens, heads, dim = part.shape
    slash = {'lmcache-s3': '_', 'lmcache-fs': '-SEP-', 'lmcache-fs-raw': '-SEP-',
             'lmcache-fs-old': '-', 'lmcache-fs-old-raw': '-', 'lmcache-disk': '-'}
    key = '@'.join([o.model.replace('/', slash.get(o.form, '/')), str(o.tp), str(rank), h,
                    'bfloat16'] + ([o.salt.replace(',', '@')] if o.salt else []))
    body = part.tobytes()
    meta = struct.pack('<7i', len(body), 1, 3, 2, layers, tokens, heads * dim)
    if o.form in ('lmcache-fs', 'lmcache-fs-old'):
        yield key + '.data', meta + body
    elif o.form in ('lmcache-fs-raw', 'lmcache-fs-old-raw'):
        yield key + '.data', body
    elif o.form == 'lmcache-disk':
        yield key + '.pt', body
    elif o.form in ('lmcache-s3', 'lmcache-resp'):
        yield key, body
    elif o.form == 'lmcache-value':
        yield key, meta + body
    elif o.form == 'lmcache-redis':
        yield key + 'kv_bytes', body
        yield key + 'metadata', meta
    elif o.form in ('lmcache-gds', 'lmcache-weka'):
        tail = '.kvcache.safetensors' if o.form == 'lmcache-gds' else '.weka1'
        name = '%s/%s/%s%s' % (h[:2], h[2:4], urllib.parse.quote(key, safe=''), tail)
        head = json.dumps({'kvcache': {'dtype': 'BF16', 'shape': [2, layers, tokens, heads * dim],
                                       'data_offsets': [0, len(body)], 'fmt': 1,
                                       '__metadata__': {'lmcache_version': '1'}}}).encode()
        head = struct.pack('<Q', 4088) + head.ljust(4088)
        yield name, head + body
        yield name + '.metadata', head
    else:
        die('form ' + o.form)


def write(root, name, data):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(data)


# ---- commands ----

def cmd_make(o):
    """A small prompt: DIR/a.safetensors, a.tokens.json, config.json."""
    rng = np.random.default_rng(7)
    kv = rng.integers(0, 1 << 16, (2, o.layers, o.tokens, 4, 8), dtype=np.uint16)
    tokens = [int(t) for t in rng.integers(0, 1 << 17, o.tokens)]
    names = {'model.layers.%d.self_attn.%s' % (i, 'kv'[c]): kv[c, i]
             for c in range(2) for i in range(o.layers)}
    write(o.dir, 'a.safetensors', build(names, {'model': o.model}))
    write(o.dir, 'a.tokens.json', json.dumps(tokens).encode())
    write(o.dir, 'config.json', json.dumps({
        'model_type': 'llama', '_name_or_path': o.model, 'num_hidden_layers': o.layers,
        'num_attention_heads': 4, 'num_key_value_heads': 4, 'head_dim': 8, 'hidden_size': 32,
        'torch_dtype': 'bfloat16'}).encode())


def cmd_store(o):
    """What an engine leaves of a prompt."""
    _, kv = load(o.tensors)
    with open(o.tokens) as f:
        tokens = json.load(f)
    for name, data in objects(o, kv, hashes(o.algo, tokens, o.chunk)):
        write(o.out, name, data)


def cmd_example(o):
    """A folder of vLLM's example connector, of one generation."""
    _, kv = load(o.tensors)
    with open(o.tokens) as f:
        tokens = json.load(f)
    n = (len(tokens) - 1) // o.block * o.block
    name = hashlib.md5(np.array(tokens[:n], '<i8').tobytes()).hexdigest()
    for i in range(kv.shape[1]):
        k, v = kv[0, i, :n], kv[1, i, :n]
        t = {'g1-nhd': lambda: np.stack([k, v]).reshape(2, n, -1),
             'g2-nhd': lambda: np.stack([k, v], axis=1),
             'g3-nhd': lambda: np.concatenate([k, v], axis=-1)}[o.layout]()
        write(o.out, '%s/model.layers.%d.self_attn.attn.safetensors' % (name, i),
              build({'kv_cache': np.ascontiguousarray(t)}))


def chunks(data):
    """Each chunk of a stream or a chunk file: metadata, payload; seals and digests checked."""
    at, out, seals, begun = 0, [], b'', False
    while at < len(data):
        region = 8 + struct.unpack('<Q', data[at:at + 8])[0]
        if region % 4096:
            die('a header region of %d bytes' % region)
        head = json.loads(data[at + 8:at + region].decode())
        meta = head['__metadata__']
        if meta['kvchunk'] != '1':
            die('version ' + meta['kvchunk'])
        zero = data[at:at + region].replace(meta['seal'].encode(), b'0' * 32)
        if xxh3_128(zero).hex() != meta['seal']:
            die('wrong seal at byte %d' % at)
        size = head['kvcache']['data_offsets'][1] if 'kvcache' in head else 0
        payload = data[at + region:at + region + size]
        at += region + size
        record = meta.get('record', '')
        if record == 'end':
            if meta['count'] != str(len(out)):
                die('end counts %s chunks, there are %d' % (meta['count'], len(out)))
        if record:
            begun = record == 'begin'
            continue
        if len(payload) != size or xxh3_128(payload).hex() != meta['digest']:
            die('wrong digest before byte %d' % at)
        parse(data[at - region - size:at])
        out.append((meta, head['kvcache']['shape'], payload))
    if begun:
        die('no end record')
    return out


def cmd_stream(o):
    """Check streams or chunk files; with tensors, that each chunk is its part of them."""
    kv = tokens = None
    if o.tensors:
        _, kv = load(o.tensors)
    if o.tokens:
        with open(o.tokens) as f:
            tokens = json.load(f)
    for path in o.files:
        with open(path, 'rb') as f:
            for meta, shape, payload in chunks(f.read()):
                print(meta['hash'], meta['tokens'], meta['tp'], meta['rank'], meta['algo'])
                if kv is None:
                    continue
                n = int(meta['chunk_tokens'])
                if tokens:
                    at = [as_bytes(h).hex() for h in hashes(o.algo, tokens, n)].index(
                        meta['hash']) * n
                else:
                    at = int(meta['first_token'])
                heads = [int(x) for x in meta['heads'].replace('/', ':').split(':')]
                want = kv[:, :, at:at + int(meta['tokens'])]
                if heads[2] == kv.shape[3]:
                    want = want[..., heads[0]:heads[0] + heads[1], :]
                elif (heads[1], shape[3]) != (1, 1) or heads[2] != int(meta['tp']):
                    die('heads ' + meta['heads'])
                else:           # heads not known: a rank's are taken as one
                    k = kv.shape[3] // heads[2]
                    want = want[..., heads[0] * k:(heads[0] + 1) * k, :]
                if np.ascontiguousarray(want).tobytes() != payload:
                    die('chunk %s differs from the tensors' % meta['hash'])


def cmd_equal(o):
    """Have two safetensors files the same tensors?"""
    a, b = ({k: v for k, v in parse(open(p, 'rb').read())[1].items()} for p in (o.a, o.b))
    if a != b:
        die('%s and %s differ' % (o.a, o.b))


def main():
    p = argparse.ArgumentParser()
    s = p.add_subparsers(required=True)

    def command(fn, *args):
        c = s.add_parser(fn.__name__[4:])
        c.set_defaults(fn=fn)
        for a in args:
            c.add_argument(a)
        c.add_argument('--model', default='org/some-model_x')
        c.add_argument('--chunk', type=int, default=256)
        c.add_argument('--block', type=int, default=16)
        c.add_argument('--tp', type=int, default=1)
        c.add_argument('--salt', default='')
        c.add_argument('--layout', default='g3-nhd')
        c.add_argument('--algo', default='blake3')
        return c

    c = command(cmd_make, 'dir')
    c.add_argument('--tokens', type=int, default=300)
    c.add_argument('--layers', type=int, default=11)
    command(cmd_store, 'form', 'tensors', 'tokens', 'out')
    command(cmd_example, 'tensors', 'tokens', 'out')
    c = command(cmd_stream)
    c.add_argument('files', nargs='+')
    c.add_argument('--tensors')
    c.add_argument('--tokens')
    command(cmd_equal, 'a', 'b')
    o = p.parse_args()
    o.fn(o)


if __name__ == '__main__':
    main()
