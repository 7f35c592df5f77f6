#!/bin/sh
# What is shipped for cron, systemd, Kubernetes and Grafana is well-formed and says what the tools say.
# shellcheck disable=SC2317	# functions called through ok
. "${0%/*}/lib.sh"

cd "$tmp" || exit 1
s=$here/../scripts
python=/usr/bin/python3
need "$python"

# every option that a text gives to kvevict is one
options() { kvevict --help | grep -o -e '--[a-z-]*' | sort -u; }
options >known
known() { grep -o -e ' "*--[a-z-]*' "$1" | tr -d ' "' | sort -u | comm -23 - known; }
for f in cron/kvevict systemd/kvevict@.service kubernetes/kvevict.yaml; do
	is "$f: its options are known" "$(known "$s/$f")" ''
done

# cron: six fields and a command, percent signs escaped
ok 'cron: lines' "$python" - "$s/cron/kvevict" <<'END'
import re, sys
jobs = 0
for line in open(sys.argv[1]):
    line = line.strip()
    if not line or line[0] == '#' or re.match(r'^[A-Z]+=', line):
        continue
    m = re.match(r'^(?:[\d*/,-]+\s+){5}(\w+)\s+(kvevict .*)$', line)
    assert m, line
    assert not re.search(r'(?<!\\)%', m[2]), line
    jobs += 1
assert jobs >= 2
END

# systemd
if command -v systemd-analyze >/dev/null; then
	mkdir units
	cp "$s"/systemd/* units
	sed -i "s,/usr/bin/kvevict,$(command -v kvevict)," units/*.service
	systemd-analyze --man=no verify ./units/kvevict@.service ./units/kvevict@.timer >said 2>&1
	is 'systemd-analyze verify' "$(grep -F kvevict@ said | grep -v 'network-online')" ''
else
	skip 'no systemd-analyze'
fi
for word in DynamicUser=yes LoadCredential= ProtectSystem=strict NoNewPrivileges=yes; do
	ok "service: $word" grep -q "^$word" "$s/systemd/kvevict@.service"
done
for word in Persistent=yes RandomizedDelaySec=; do
	ok "timer: $word" grep -q "^$word" "$s/systemd/kvevict@.timer"
done

# a run's metrics are those that dashboard and alerts look at
kvget -q 'gen:tiny?tokens=1024&seed=1' | kvput -q st
kvevict -q st --max-size 1 --min-age 0 --max-delete 100% --metrics-file m.prom >/dev/null
sed 's/[{ ].*//' m.prom | sort -u >have
ok 'metrics have the store as a label' sh -c '! grep -v "store=\"st\"" m.prom'
grep -oh 'kvtools_[a-z_]*' "$s/grafana/alerts.yaml" "$s/grafana/kvtools.json" | grep -v 'kvtools-' | sort -u >wanted
is 'dashboard and alerts: the metrics exist' "$(comm -13 have wanted)" ''

ok 'dashboard: JSON with panels' "$python" - "$s/grafana/kvtools.json" <<'END'
import json, sys
d = json.load(open(sys.argv[1]))
ids = [p['id'] for p in d['panels']]
assert len(ids) >= 6 and len(set(ids)) == len(ids)
assert all(t['expr'] for p in d['panels'] for t in p['targets'])
END
if "$python" -c 'import yaml' 2>/dev/null; then
	ok 'alerts: YAML, each with an expression' "$python" - "$s/grafana/alerts.yaml" <<'END'
import sys, yaml
d = yaml.safe_load(open(sys.argv[1]))
rules = [r for g in d['groups'] for r in g['rules']]
assert len(rules) >= 4 and all(r['expr'] and r['annotations']['summary'] for r in rules)
END
	ok 'CronJob: forbids overlap, no root, read-only' "$python" - "$s/kubernetes/kvevict.yaml" <<'END'
import sys, yaml
d = yaml.safe_load(open(sys.argv[1]))
assert d['kind'] == 'CronJob' and d['spec']['concurrencyPolicy'] == 'Forbid'
pod = d['spec']['jobTemplate']['spec']['template']['spec']
c = pod['containers'][0]
assert pod['securityContext']['runAsNonRoot'] and c['securityContext']['readOnlyRootFilesystem']
assert {m['name'] for m in c['volumeMounts']} == {v['name'] for v in pod['volumes']}
END
else
	skip 'no python3-yaml'
fi
finish
