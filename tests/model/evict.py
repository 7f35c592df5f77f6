#!/usr/bin/env python3
"""Random sequences of put, get, evict and kill on a small store, against a model that reads
the chunk files by itself. After each eviction: the limit is kept, no chunk lost its parent,
nothing young or pinned went, ranks went together, the dry run printed the real run's lines,
a second run deletes nothing, the guard stops at its bound.

    evict.py SEED SECONDS        prints "ok" or what went wrong, with the commands so far
"""
import difflib, json, os, random, re, signal, struct, subprocess, sys, tempfile, time

LOG = []
POLICIES = ['auto', 'lru', 'fifo', 'lfu', 'cost', 'gdsf', 's3fifo', 'sieve', 'arc', '2q', 'lru2', 'size',
            'ttl', 'priority', 'w-tinylfu', 'length-aware']


class Bad(Exception):
    pass


def run(*argv, ok=(0,), stdin=None):
    LOG.append(' '.join(argv))
    p = subprocess.run(argv, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
    if ok is not None and p.returncode not in ok:
        raise Bad(f'status {p.returncode}: {" ".join(argv)}\n{p.stderr}')
    return p


def header(path):
    """hash and parent, or None: read as any safetensors reader would."""
    try:
        # reading is no use: only kvget's is
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOATIME), 'rb') as f:
            n = struct.unpack('<Q', f.read(8))[0]
            if n > 1 << 20:
                return None
            m = json.loads(f.read(n))['__metadata__']
            return m['hash'], m.get('parent')
    except (OSError, ValueError, KeyError, struct.error):
        return None


def snapshot(store):
    """unit (class, hash) -> files, bytes, newest write, last use, parent"""
    units = {}
    for top, dirs, files in os.walk(store):
        for f in files:
            if not f.endswith('.kv.safetensors'):
                continue
            path = os.path.join(top, f)
            st = os.stat(path)
            group = re.sub(r'-r\d+', '', os.path.relpath(top, store).rsplit('/', 1)[0])
            h = header(path)
            u = units.setdefault((group, f.split('.')[0]), dict(files=set(), size=0, written=0,
                                                                 used=0, parent=None))
            u['files'].add(path)
            u['size'] += st.st_size
            u['written'] = max(u['written'], int(st.st_mtime))
            u['used'] = max(u['used'], int(st.st_atime), int(st.st_mtime))
            if h and h[1]:
                u['parent'] = (group, h[1])
    for u in units.values():
        u['kids'] = set()
    for k, u in units.items():
        if u['parent'] in units:
            units[u['parent']]['kids'].add(k)
    return units


class World:
    def __init__(self, seed, tmp):
        self.r = random.Random(seed)
        self.store = os.path.join(tmp, 'store')
        self.tmp = tmp
        self.streams = []
        os.mkdir(self.store)
        self.policies = [x for x in POLICIES if run('kvevict', self.store, '--ttl', '9d', '--policy',
                                                    x, ok=None).returncode == 0]
        self.make_streams()

    def make_streams(self):
        """Prompts that share prefixes (a tree), and chains of two ranks."""
        r, geometry = self.r, 'layers=1,heads=1,head_dim=8,dtype=f16'
        prompts = [[]]
        for i in range(14):
            base = r.choice(prompts)
            base = base[:16 * r.randint(0, len(base) // 16)]
            prompts.append(base + [r.randint(0, 9999) for _ in range(16 * r.randint(1, 6))])
        for i, tokens in enumerate(prompts[1:]):
            name = os.path.join(self.tmp, f'p{i}')
            shape = f'(2, 1, {len(tokens)}, 1, 8)'
            head = "{'descr': '<f2', 'fortran_order': False, 'shape': %s, }" % shape
            head += ' ' * (-(len(head) + 11) % 64) + '\n'
            with open(name + '.npy', 'wb') as f:
                f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)) + head.encode())
                f.write(bytes(2 * 2 * len(tokens) * 8))
            with open(name + '.json', 'w') as f:
                json.dump(tokens, f)
            run('kvput', '-q', name, name + '.npy', '--tokens', name + '.json', '--geometry',
                geometry, '--model', 'm', '--chunk-tokens', '16')
            run('kvget', '-q', name, '-O', name + '.kv')
            self.streams.append(name + '.kv')
        for seed in range(3):
            name = os.path.join(self.tmp, f'g{seed}.kv')
            run('kvget', '-q', f'gen:tiny?tokens=96&chunk-tokens=16&tp=2&seed={seed}', '-O', name)
            self.streams.append(name)

    def put(self):
        before = {f for u in snapshot(self.store).values() for f in u['files']}
        run('kvput', '-q', self.store, self.r.choice(self.streams))
        if self.r.random() < 0.2:
            return                      # stays young
        now = time.time()
        for u in snapshot(self.store).values():
            for f in u['files'] - before:
                m = now - self.r.randint(700, 1000000)
                os.utime(f, (m + self.r.randint(0, 600), m))

    def get(self):
        units = snapshot(self.store)
        if units:
            k = self.r.choice(sorted(units))
            run('kvget', '-q', self.store, k[1], '-O', os.path.join(self.tmp, 'got'),
                ok=(0, 4))              # damaged ones are refused

    def age(self):
        now = time.time()
        for u in snapshot(self.store).values():
            if self.r.random() < 0.3:
                m = now - self.r.randint(700, 1000000)
                for f in u['files']:
                    os.utime(f, (m + self.r.randint(0, 600), m))

    def damage(self):
        units = snapshot(self.store)
        if units:
            f = self.r.choice(sorted(self.r.choice(list(units.values()))['files']))
            st = os.stat(f)
            os.truncate(f, self.r.choice([0, 7, 100, 4096]))
            os.utime(f, ns=(st.st_atime_ns, st.st_mtime_ns))

    def options(self, units):
        r, total, o = self.r, sum(u['size'] for u in units.values()), {}
        if r.random() < 0.7:
            o['--max-size'] = str(r.randint(0, int(total * 1.1) + 1))
            if r.random() < 0.5:
                o['--low-water'] = f'{r.randint(30, 100)}%'
        if r.random() < 0.2 or not o:
            o['--max-chunks'] = str(r.randint(0, len(units) + 2))
        if r.random() < 0.3:
            o['--ttl'] = f'{r.randint(1, 12)}d'
        if r.random() < 0.2:
            o['--unreachable'] = None
        if r.random() < 0.2:
            o['--incomplete'] = None
        if r.random() < 0.5:
            o['--min-age'] = '0'
        o['--policy'] = r.choice(self.policies + ['lru', 'fifo'])
        o['--max-delete'] = r.choice(['100%', '100%', '100%', '50%', '25%', str(r.randint(0, 20))])
        pins = []
        if r.random() < 0.4 and units:
            pins = r.sample(sorted(units), min(len(units), r.randint(1, 3)))
            with open(os.path.join(self.tmp, 'pins'), 'w') as f:
                f.write('# kept\n' + ''.join(k[1][:r.choice([12, 64])] + '\n' for k in pins))
            o['--pin-file'] = os.path.join(self.tmp, 'pins')
        if r.random() < 0.5:
            o['-j'] = str(r.randint(1, 6))
        return o, set(k[1] for k in pins)

    def evict(self, kill=False):
        before = snapshot(self.store)
        o, pins = self.options(before)
        if kill:
            o['--max-delete'] = '100%'
        argv = ['kvevict', '-q', self.store] + [x for k, v in o.items() for x in (k, v) if x]
        start = int(time.time())
        if kill:
            LOG.append(' '.join(argv) + '  # killed')
            p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(self.r.random() * 0.02)
            p.send_signal(signal.SIGKILL)
            p.wait()
            return self.check_losses(before, snapshot(self.store), o, pins, start)
        dry = run(*argv, '-n', ok=(0, 6))
        if snapshot(self.store) != before:
            raise Bad('the dry run changed the store')
        real = run(*argv, ok=(0, 6))
        after = snapshot(self.store)
        # values that change with time have no score to print, and so may the plan, in whole seconds
        timed = int(time.time()) > start and re.search(r'^(\S*\t){5}-', dry.stdout, re.M)
        if (dry.returncode, dry.stdout) != (real.returncode, real.stdout) and not timed:
            lines = difflib.unified_diff(dry.stdout.split('\n'), real.stdout.split('\n'),
                                         f'dry {dry.returncode}', f'real {real.returncode}')
            raise Bad('dry run and real run differ:\n' + '\n'.join(lines) + real.stderr)
        gone = set(before) - set(after)
        lines = [x.split('\t') for x in real.stdout.splitlines()]
        if sorted(x[2] for x in lines) != sorted(k[1] for k in gone):
            raise Bad('lines and losses differ')
        self.check_losses(before, after, o, pins, start)
        if real.returncode == 6:
            return self.check_guard(argv, before, gone, o)
        if len(gone) > self.allowed(o, before):
            raise Bad('more went than the guard allows')
        self.check_limits(before, after, o, pins, start, lines)
        again = run(*argv, ok=(0, 6))
        if again.stdout or again.returncode:
            raise Bad(f'the second run is not empty:\n{again.stdout}{again.stderr}')

    @staticmethod
    def allowed(o, before):
        v = o['--max-delete']
        return len(before) * int(v[:-1]) // 100 if v.endswith('%') else int(v)

    def protected(self, units, o, pins, now):
        """units that must stay: themselves, then with all before them"""
        min_age = 0 if '--min-age' in o else 600
        keep = {k for k, u in units.items() if (min_age and u['written'] > now - min_age) or k[1] in pins}
        left = list(keep)
        while left:
            up = units[left.pop()]['parent']
            if up in units and up not in keep:
                keep.add(up)
                left.append(up)
        return keep

    def check_losses(self, before, after, o, pins, start):
        gone = set(before) - set(after)
        for k, u in after.items():
            if u['files'] != before[k]['files'] and not self.killed_half(before[k], u):
                raise Bad(f'ranks of {k} were separated')
            if before[k]['parent'] in before and before[k]['parent'] not in after:
                raise Bad(f'{k} lost its parent')
        lost = gone & self.protected(before, o, pins, start)
        if lost:
            raise Bad(f'young or pinned, and gone: {lost}')

    killed = False

    def killed_half(self, before, after):
        return self.killed

    def check_guard(self, argv, before, gone, o):
        if gone:
            raise Bad('refused, and something went')
        i = argv.index('--max-delete')
        free = argv[:i] + ['--max-delete', '100%'] + argv[i + 2:]
        n = len(run(*free, '-n').stdout.splitlines())
        if n <= self.allowed(o, before):
            raise Bad(f'refused {n} of {len(before)}, which {o["--max-delete"]} allows')
        bound = argv[:i] + ['--max-delete', str(n)] + argv[i + 2:]
        under = argv[:i] + ['--max-delete', str(n - 1)] + argv[i + 2:]
        run(*under, '-n', ok=(6,))
        run(*bound, '-n', ok=(0,))

    def check_limits(self, before, after, o, pins, now, lines):
        keep = self.protected(after, o, pins, now)
        free = [k for k, u in after.items() if k not in keep]
        left = sum(u['size'] for u in after.values())
        if '--max-size' in o and left > int(o['--max-size']) and free:
            raise Bad(f'{left} bytes are left, and {len(free)} chunks could go')
        if '--max-chunks' in o and len(after) > int(o['--max-chunks']) and free:
            raise Bad(f'{len(after)} chunks are left, and {len(free)} could go')
        if '--ttl' in o:
            idle = [k for k in free if after[k]['used'] <= now - int(o['--ttl'][:-1]) * 86400 - 2]
            stuck = [k for k in idle if not after[k]['kids']]
            if stuck:
                raise Bad(f'idle for longer than the ttl, and there: {stuck}')
        sizes = {k[1]: u['size'] for k, u in before.items()}
        last = lines[-1] if lines else None
        # (the policy ttl has the same word as the time to live)
        if last and last[1] == o['--policy'] != 'ttl' and '--max-size' in o and '--max-chunks' not in o:
            low = int(int(o['--max-size']) * int(o.get('--low-water', '100%')[:-1]) / 100)
            if left + sizes[last[2]] <= low - 1:
                raise Bad(f'{last[2]} need not have gone: {left} left, low water {low}')
        if o['--policy'] in ('lru', 'fifo') and last:
            self.check_order(before, after, o, keep, lines)

    def check_order(self, before, after, o, keep, lines):
        """What went by the policy was worth no more than anything that stayed and could go; a
        chunk is worth as much as the best that hangs on it."""
        what = 'used' if o['--policy'] == 'lru' else 'written'

        def worth(k):
            best, left = before[k][what], [k]
            while left:
                u = before[left.pop()]
                best = max(best, u[what])
                left += u['kids']
            return best
        went = {x[2] for x in lines if x[1] == o['--policy']}
        most = max((worth(k) for k in before if k[1] in went), default=None)
        least = min((worth(k) for k in after if k not in keep), default=None)
        if most is not None and least is not None and most > least:
            raise Bad(f'{o["--policy"]}: one of worth {most} went, one of {least} stayed')


def main():
    seed, seconds = int(sys.argv[1]), float(sys.argv[2])
    end = time.time() + seconds
    steps = evictions = 0
    with tempfile.TemporaryDirectory() as tmp:
        w = World(seed, tmp)
        LOG.clear()
        try:
            while time.time() < end:
                steps += 1
                what = w.r.random()
                if what < 0.35:
                    w.put()
                elif what < 0.45:
                    w.get()
                elif what < 0.55:
                    w.age()
                elif what < 0.57:
                    w.damage()
                elif what < 0.65:
                    w.killed = True     # a rank may be left alone by the kill, never an orphan
                    w.evict(kill=True)
                else:
                    evictions += 1
                    w.killed = False
                    w.evict()
        except Bad as e:
            print(f'seed {seed}, step {steps}: {e}\nafter:\n' + '\n'.join(LOG[-6:]))
            return 1
    print(f'ok: {steps} steps, {evictions} evictions')
    return 0


sys.exit(main())
