# shellcheck shell=sh
# Timing for benchmarks. Source it: . "${0%/*}/lib.sh"
#   race 'what' 'command' 'peer' 'its command'    a line with both medians and their ratio
# Runs alternate, so that a busy machine is busy for both. $tmp is a scratch directory.
# TIMES=N: ours is so short that it is run N times over each time; what is told is one.
# WARM=BYTES: so much memory is used and freed right before each run. Virtual machines give freed
# memory back to their hosts within seconds, and getting it again costs several times what is measured.

command -v kvrecv >/dev/null || { echo "${0##*/}: our tools are not in \$PATH; make bench puts them there" >&2; exit 2; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/kvtools.bench.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
: "${RUNS:=5}" "${TIMES:=1}"

# Nanoseconds a shell command takes.
ns() {
	ns_t=$(date +%s%N)
	sh -c "$1" || { echo "bench: failed: $1" >&2; exit 1; }
	echo $(($(date +%s%N) - ns_t))
}

warm() {
	[ -z "${WARM:-}" ] || {
		rm /dev/shm/kvtools.warm.$$	# at once: nothing is left of a run that is ended
		head -c "$WARM" /dev/zero >&3
	} 3>/dev/shm/kvtools.warm.$$
}

median() {
	sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

race() {
	: >"$tmp/.ours"
	: >"$tmp/.peer"
	race_i=0
	while [ "$race_i" -lt "$RUNS" ]; do
		warm
		ns "for i in $(seq -s ' ' "$TIMES"); do $2; done" >>"$tmp/.ours"
		warm
		ns "$4" >>"$tmp/.peer"
		race_i=$((race_i + 1))
	done
	awk -v what="$1" -v peer="$3" -v a="$(median "$tmp/.ours")" -v b="$(median "$tmp/.peer")" \
		-v bytes="${BYTES:-0}" -v times="$TIMES" 'BEGIN {
		a /= times
		printf (times > 1 ? "%-24s %7.4f s" : "%-24s %7.3f s"), what, a / 1e9
		if (bytes > 0) printf " %6.0f MB/s", bytes / a * 1e3
		printf "   %-16s %7.3f s", peer, b / 1e9
		if (bytes > 0) printf " %6.0f MB/s", bytes / b * 1e3
		printf "   %.2f x\n", b / a }'
}
