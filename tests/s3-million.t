#!/bin/sh
# A bucket of a million objects, simulated: listed in parallel, each page once, in bounded memory.
# shellcheck source=tests/lib.sh
. "${0%/*}/lib.sh"
need python3 kvstat
[ -x /usr/bin/time ] || { echo '1..0 # SKIP time not here'; exit 0; }

export AWS_ACCESS_KEY_ID=TESTKEY AWS_SECRET_ACCESS_KEY=testsecret AWS_EC2_METADATA_DISABLED=true
export AWS_SHARED_CREDENTIALS_FILE=/nonexistent AWS_CONFIG_FILE=/nonexistent
# shellcheck source=tests/server/s3hostile.sh
. "$here/server/s3hostile.sh"
hostile --log "$tmp/log"

/usr/bin/time -o "$tmp/time" -f '%M' kvstat ls s3://million >"$tmp/ls"
is 'a million lines'		"$(wc -l <"$tmp/ls")" 1000000
is 'each another chunk'		"$(cut -f1 "$tmp/ls" | sort -u | wc -l)" 1000000
pages=$(grep -c list-type "$tmp/log")
ok "no more than its pages ($pages)"	test "$pages" -le 1040
ok "memory ($(cat "$tmp/time") KiB)"	test "$(tail -n 1 "$tmp/time")" -le 262144
: >"$tmp/log"
kvstat ls s3://million 7f0000 >"$tmp/ls" 2>/dev/null
pages=$(grep -c list-type "$tmp/log")
ok "the start of a hash: its 256th alone ($pages pages)"	test "$pages" -le 8
finish
