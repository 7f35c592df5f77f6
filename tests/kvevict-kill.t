#!/bin/sh
# kvevict killed with SIGKILL at many places of its run, and begun again.
# KVTOOLS_KILLS says at how many.
. "${0%/*}/lib.sh"

python=/usr/bin/python3
need "$python"
cd "$tmp" || exit 1
export tmp
for seed in 1 2 3; do		# chains of 128
	kvget -q "gen:tiny?tokens=512&chunk-tokens=4&seed=$seed" | kvput -q whole
done
find whole -type f -exec touch -d '2 hours ago' {} +
n=0
while [ $n -lt "${KVTOOLS_KILLS:-10}" ]; do
	n=$((n + 1))
	at=$((n * 2654435761 % 320))
	rm -rf s
	cp -a whole s
	ok "killed after $at chunks of 364" "$python" "$here/model/kill.py" $at \
		kvevict -q s --max-chunks 20 --max-delete 100% --lock
	ok ' no link of a chain is missing' kvstat chain s
	is ' nothing is unreachable' "$(kvevict -q s --unreachable --min-age 0 --max-delete 100% -n)" ''
	ok ' the next run takes the lock' kvevict -q s --max-chunks 20 --max-delete 100% --lock
	is ' and comes to the end' "$(find s -name '*.safetensors' | wc -l) $(kvstat chain s | cut -f 5 | uniq)" '20 complete'
	ok ' what is left is whole' kvstat verify -q s
done
finish
