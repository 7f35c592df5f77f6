#!/bin/sh
# RDMA with real queue pairs, in a guest that has software devices: tests/server/rdma-check.
. "${0%/*}/guest.sh"
"$guest" --timeout 300 sh "$here/server/rdma-check"
