"""XXH3-128 and BLAKE3 from their published descriptions: slow, and nobody else's code."""
import struct

import numpy as np

M64 = (1 << 64) - 1
P32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
P64 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
       0x27D4EB2F165667C5)
SECRET = bytes.fromhex(
    'b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f'
    'cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c'
    '3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8'
    'a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364'
    'eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e'
    '2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e')


def secret64(at, n):
    return np.frombuffer(SECRET[at:at + 8 * n], '<u8')


def stripes(data, keys):
    """What stripes (n, 8) add to the accumulators."""
    key = data ^ keys
    with np.errstate(over='ignore'):
        return (key & 0xffffffff) * (key >> np.uint64(32)) + data[..., [1, 0, 3, 2, 5, 4, 7, 6]]


def xxh3_128(data):
    """Of more than 240 bytes, as 16 bytes, big-endian."""
    n = len(data)
    assert n > 240
    acc = np.array([P32[2], P64[0], P64[1], P64[2], P64[3], P32[1], P64[4], P32[0]], 'u8')
    keys = np.stack([secret64(8 * i, 8) for i in range(16)])
    blocks = (n - 1) // 1024
    last = secret64(128, 8)
    with np.errstate(over='ignore'):
        for at in range(0, blocks, 4096):
            k = min(4096, blocks - at)
            d = np.frombuffer(data, '<u8', k * 128, at * 1024).reshape(k, 16, 8)
            for add in stripes(d, keys).sum(axis=1, dtype='u8'):
                acc += add
                acc = ((acc ^ (acc >> np.uint64(47))) ^ last) * np.uint64(P32[0])
        k = (n - 1 - blocks * 1024) // 64
        d = np.frombuffer(data, '<u8', k * 8, blocks * 1024).reshape(k, 8)
        acc += stripes(d, keys[:k]).sum(axis=0, dtype='u8')
        d = np.frombuffer(data[n - 64:], '<u8')
        acc += stripes(d, secret64(121, 8))
    a = [int(x) for x in acc]

    def merge(at, start):
        s = [int(x) for x in secret64(at, 8)]
        for i in range(0, 8, 2):
            p = (a[i] ^ s[i]) * (a[i + 1] ^ s[i + 1])
            start += (p & M64) ^ (p >> 64)
        start &= M64
        start ^= start >> 37
        start = start * 0x165667919E3779F9 & M64
        return start ^ start >> 32

    low = merge(11, n * P64[0])
    high = merge(117, ~(n * P64[1]) & M64)
    return struct.pack('>QQ', high, low)


IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB,
      0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
START, END, PARENT, ROOT = 1, 2, 4, 8


def compress(cv, block, counter, length, flags):
    v = list(cv) + list(IV[:4]) + [counter & 0xffffffff, counter >> 32, length, flags]
    m = list(struct.unpack('<16I', block))

    def g(a, b, c, d, x, y):
        for z, r, s in ((x, 16, 12), (y, 8, 7)):
            v[a] = v[a] + v[b] + z & 0xffffffff
            v[d] ^= v[a]
            v[d] = (v[d] >> r | v[d] << 32 - r) & 0xffffffff
            v[c] = v[c] + v[d] & 0xffffffff
            v[b] ^= v[c]
            v[b] = (v[b] >> s | v[b] << 32 - s) & 0xffffffff

    for _ in range(7):
        for i in range(4):
            g(i, 4 + i, 8 + i, 12 + i, m[2 * i], m[2 * i + 1])
        for i in range(4):
            g(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[8 + 2 * i], m[9 + 2 * i])
        m = [m[i] for i in ORDER]
    return [v[i] ^ v[i + 8] for i in range(8)]


def blake3(data):
    """32 bytes."""
    def node(at, n, root):
        if n <= 1024:
            cv, part = IV, data[at:at + n]
            count = max(1, -(-n // 64))
            for i in range(count):
                b = part[64 * i:64 * i + 64]
                flags = (START if i == 0 else 0) | (END | root if i == count - 1 else 0)
                cv = compress(cv, b.ljust(64, b'\0'), at // 1024, len(b), flags)
            return cv
        left = 1024
        while left * 2 < n:
            left *= 2
        block = node(at, left, 0) + node(at + left, n - left, 0)
        return compress(IV, struct.pack('<16I', *block), 0, 64, PARENT | root)

    return struct.pack('<8I', *node(0, len(data), ROOT))
