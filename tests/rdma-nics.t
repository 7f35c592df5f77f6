#!/bin/sh
# RDMA over two pairs of devices at once, of which one goes down: tests/server/rdma-nics, in a guest.
. "${0%/*}/guest.sh"

# $1 driver, $2 interface that goes down; what failed is told.
down() {
	RDMA_CUT=$2 "$guest" --net two --drv "$1" --timeout 150 sh "$here/server/rdma-nics" >"$tmp/tap"
	rc=$?
	sed '/^ok/d' "$tmp/tap"
	return "$rc"
}

ok 'RoCE, the source loses a port'	down rxe nic0
if "$guest" --drv siw --which >/dev/null 2>&1; then
	ok 'iWARP, the sink loses a port'	down siw nic3
else
	skip 'no iWARP here'
fi
finish
