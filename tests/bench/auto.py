#!/usr/bin/env python3
"""auto against every other policy: auto.py "ROOM,ROOM..." "SEED,SEED..." WORKLOAD|TRACE...

A workload is what kvstat sim --gen takes. A line each: how auto compares with the best of the others
at each room (mean over the seeds), then the cells in which it is below LRU by more than 2 %.
"""
import collections
import concurrent.futures
import json
import os
import subprocess
import sys


def replay(job):
    what, seed = job
    source = [what] if seed is None else ['--gen', f'{what},seed={seed}']
    run = subprocess.run(['kvstat', 'sim', '-q', '--no-min', '--json', '--policy', 'all',
                          '--capacity', sys.argv[1], *source], stdout=subprocess.PIPE, check=True)
    cells = collections.defaultdict(dict)
    for line in run.stdout.splitlines():
        cell = json.loads(line)
        if 'hit_ratio' not in cell:     # the advice
            continue
        cells[cell['capacity']][cell['policy']] = cell['hit_ratio']
    return cells


def main():
    jobs = [(what, seed) for what in sys.argv[3:]
            for seed in ([None] if os.path.exists(what) else sys.argv[2].split(','))]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(zip(jobs, pool.map(replay, jobs)))
    rooms = [int(room) for room in sys.argv[1].split(',')]
    above, below, lru, all_best = collections.defaultdict(list), [], [], []
    for (what, seed), cells in results:
        for room in rooms:
            ratios = cells[room]
            auto = ratios.pop('auto')
            best = max(ratios.values())
            if best > 0:
                above[what, room].append(min(auto / best, 2) - 1)
                all_best.append(min(auto / best, 2) - 1)
            if ratios['lru'] > 0:
                lru.append(auto / ratios['lru'] - 1)
                if lru[-1] < -.02:
                    below.append((what, seed, room, auto, ratios['lru']))
    print('%-44s' % 'auto against the best of all others', *('%7d' % room for room in rooms))
    for what in sys.argv[3:]:
        print('%-44s' % os.path.basename(what)[-44:], *(
            '%+6.1f%%' % (100 * sum(v) / len(v)) if v else '      -'
            for v in (above[what, room] for room in rooms)))
    print('mean %+.1f %%' % (100 * sum(all_best) / len(all_best)))
    print(f'below LRU by more than 2 %: {len(below)} of {len(lru)} cells')
    for what, seed, room, auto, other in below:
        print(f'  {what} seed {seed}, {room} blocks: {auto:.4f}, LRU {other:.4f}')


main()
