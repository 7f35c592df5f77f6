#!/bin/sh
# Random sequences against a model of what an eviction must and must not do.
# KVTOOLS_MODEL_SECONDS makes it longer; a failure prints its seed and the last commands.
. "${0%/*}/lib.sh"

python=/usr/bin/python3
need "$python"
cd "$tmp" || exit 1
for seed in 1 2 3; do
	ok "seed $seed" "$python" "$here/model/evict.py" "$seed" "${KVTOOLS_MODEL_SECONDS:-4}"
done
seed=$(date +%s)
ok "seed $seed, of today" "$python" "$here/model/evict.py" "$seed" "${KVTOOLS_MODEL_SECONDS:-3}"
finish
