#!/bin/sh
# Chunks by RDMA, digest and acknowledgement included, against the writes and sends of
# perftest with messages of the same size. In the guest that `make rdma-kernel` builds: figures
# rank designs, they are not those of a network card.
set -eu
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/lib.sh"
here=$(cd "${0%/*}" && pwd)
export KVTOOLS_OUT="${KVTOOLS_OUT:-$here/../../out}"

if [ -z "${RDMA_DEV_A:-}" ]; then
	guest=$here/../server/rdma-guest
	"$guest" --way uml --which >"$tmp/why" 2>&1 || { echo "rdma: $(cat "$tmp/why")"; exit 0; }
	command -v ib_write_bw >/dev/null || { echo 'rdma: no perftest'; exit 0; }
	printf '%-4s %8s %12s %14s %14s   %s\n' '' chunk 'ours MiB/s' ib_write_bw ib_send_bw 'ours to each'
	for drv in ${DRIVERS:-rxe siw}; do
		"$guest" --way uml --drv "$drv" --timeout 400 env RUNS="$RUNS" SIZES="${SIZES:-1 8 32}" sh "$0"
	done
	exit 0
fi

# shellcheck disable=SC2153  # the guest sets RDMA_DEV_B
# A figure of 0 is perftest's quarrel with the clock: asked again.
perftest() {
	for _ in 1 2; do
		port=$((port + 1))
		timeout 15 "$1" -R -F -d "$RDMA_DEV_B" -n "$3" -s "$2" -p "$port" >/dev/null 2>&1 &
		sleep 0.5
		timeout 15 "$1" -R -F -d "$RDMA_DEV_A" -n "$3" -s "$2" -p "$port" "$RDMA_IP_B" 2>/dev/null |
			awk -v s="$2" '$1 == s && $4 > 0 { print $4; found = 1 } END { exit !found }' && break
		wait
	done
	wait
}

port=18600
for mib in ${SIZES:-1 8 32}; do
	: >"$tmp/ours"
	: >"$tmp/write"
	: >"$tmp/send"
	n=$((mib == 1 ? 128 : 256 / mib))	# perftest wants five or more
	for _ in $(seq "$RUNS"); do
		"$KVTOOLS_OUT/bench/rdma" "${mib}M" $n >>"$tmp/ours"
		perftest ib_write_bw $((mib << 20)) $n >>"$tmp/write"
		perftest ib_send_bw $((mib << 20)) $n >>"$tmp/send"
	done
	awk -v dev="${RDMA_DEV_A%0}" -v mib="$mib" -v a="$(median "$tmp/ours")" \
		-v w="$(median "$tmp/write")" -v s="$(median "$tmp/send")" '
		function ratio(peer) { return peer ? sprintf("%.2f x", a / peer) : "-" }
		BEGIN { printf "%-4s %4d MiB %12.0f %14.0f %14.0f   %s %s\n", dev, mib, a, w, s,
			ratio(w), ratio(s) }'
done
