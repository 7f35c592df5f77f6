#!/bin/sh
# The S3 store on a real Ceph gateway, with rclone, s3cmd and aws-cli as second opinions.
# shellcheck source=tests/lib.sh disable=SC2016,SC2317
. "${0%/*}/lib.sh"
need radosgw ceph-mon ceph-osd monmaptool curl kvput kvget

gateway=$here/server/radosgw.sh
at_exit='"$gateway" stop "$tmp/g"; "$gateway" stop "$tmp/t"'
export AWS_SHARED_CREDENTIALS_FILE=/nonexistent AWS_CONFIG_FILE=/nonexistent
"$gateway" start "$tmp/g" >"$tmp/env" || { echo '1..0 # SKIP the gateway does not start'; exit 0; }
# shellcheck disable=SC1091
. "$tmp/env"

same() { kvget -q "$@" | cmp - "$tmp/s"; }
says() {	# STATUS PATTERN COMMAND...: one line on stderr that matches
	says_want=$1 says_line=$2
	shift 2
	status "$says_want" "$@" 2>"$tmp/err" >/dev/null || { cat "$tmp/err"; return 1; }
	if ! { grep -q "$says_line" "$tmp/err" && [ "$(wc -l <"$tmp/err")" -eq 1 ]; }; then
		cat "$tmp/err"
		return 1
	fi
}

kvget -q 'gen:tiny?tokens=2560' -O "$tmp/s"
ok 'a missing bucket is 2, and says so'	says 2 "bucket 'kvb' does not exist" kvput s3://kvb "$tmp/s"
ok 'make it and put'			kvput --create-bucket s3://kvb/a "$tmp/s"
ok 'making it twice is fine'		kvput -q --create-bucket s3://kvb/a "$tmp/s"
ok 'get is what was put'		same s3://kvb/a
out=$(kvput s3://kvb/a "$tmp/s" 2>&1)
ok 'what is there is skipped'		expr "$out" : '.*put 0, skipped 10 '
ok 'an empty prefix is an empty store'	kvget -q -O "$tmp/none" s3://kvb/elsewhere

# 2,500 chunks: three pages of a listing
kvget -q 'gen:tiny?tokens=640000&seed=7' -O "$tmp/many"
ok '2,500 chunks go in'			kvput -q s3://kvb/many "$tmp/many"
ok '2,500 chunks come back'		sh -c 'kvget -q s3://kvb/many | cmp - "$1"' - "$tmp/many"
rm "$tmp/many"

# odd names: what we put others read, what they put we read
odd='o d%@+é&(x)'
url='s3://kvb/o%20d%25%40%2B%C3%A9%26(x)'
ok 'a prefix with % @ + & and unicode'	kvput -q "$url" "$tmp/s"
ok '... is read back'			same "$url"
mkdir "$tmp/f"
kvput -q "$tmp/f" "$tmp/s"
one=$(cd "$tmp/f" && find . -name '*.kv.safetensors' | sort | head -n 1)
one=${one#./}
if [ -x /usr/bin/aws ]; then
	a() { /usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }
	ok 'aws-cli reads what we put'	sh -c '/usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" s3 cp --quiet "$1" - | cmp - "$2"' \
		- "s3://kvb/$odd/$one" "$tmp/f/$one"
	ok 'aws-cli writes'		a s3 cp --quiet --recursive --exclude '.*' "$tmp/f" "s3://kvb/aws $odd"
	ok '... and we read it'		same 's3://kvb/aws%20o%20d%25%40%2B%C3%A9%26(x)'
	a s3api put-bucket-policy --bucket kvb --policy '{"Version":"2012-10-17","Statement":[{
		"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::kvb/a/*"}]}'
	ok 'a policy is 6, and not called a signature'	says 6 'policy' kvget s3://kvb/a
	a s3api delete-bucket-policy --bucket kvb
else
	skip 'no aws-cli'
fi
if command -v rclone >/dev/null; then
	r() { (unset AWS_CA_BUNDLE; rclone --config /dev/null --s3-provider Ceph --s3-env-auth \
		--s3-endpoint "$AWS_ENDPOINT_URL" "$@"); }
	ok 'rclone writes'		r copy --exclude '.*/**' "$tmp/f" ":s3:kvb/rclone $odd"
	ok '... and we read it'		same 's3://kvb/rclone%20o%20d%25%40%2B%C3%A9%26(x)'
	ok 'rclone reads what we put'	r check --download --exclude '.*/**' "$tmp/f" ":s3:kvb/$odd"
else
	skip 'no rclone'
fi
if command -v s3cmd >/dev/null; then
	printf '[default]\nhost_base = %s\nhost_bucket = %s\nuse_https = False\nsignature_v2 = False\n' \
		"${AWS_ENDPOINT_URL#http://}" "${AWS_ENDPOINT_URL#http://}" >"$tmp/s3cfg"
	c() { s3cmd -q -c "$tmp/s3cfg" --access_key "$AWS_ACCESS_KEY_ID" \
		--secret_key "$AWS_SECRET_ACCESS_KEY" "$@"; }
	ok 's3cmd writes'		c put --recursive "$tmp/f/" "s3://kvb/s3cmd $odd/"
	ok '... and we read it'		same 's3://kvb/s3cmd%20o%20d%25%40%2B%C3%A9%26(x)'
	ok 's3cmd reads what we put'	c get "s3://kvb/$odd/$one" "$tmp/one"
	ok '... the same'		cmp "$tmp/one" "$tmp/f/$one"
else
	skip 'no s3cmd'
fi

# parts: a killed writer leaves nothing visible, and --sweep what it left behind
export KVTOOLS_MULTIPART_SIZE=5MiB
kvget -q 'gen:llama-3.1-8b?tokens=256' -O "$tmp/big"
ok 'a chunk in parts'			kvput -q s3://kvb/parts "$tmp/big"
ok '... is read back'			sh -c 'kvget -q s3://kvb/parts | cmp - "$1"' - "$tmp/big"
if command -v s3cmd >/dev/null; then
	notes=$XDG_RUNTIME_DIR/kvtools
	uploads() {
		s3cmd -c "$tmp/s3cfg" --access_key "$AWS_ACCESS_KEY_ID" \
			--secret_key "$AWS_SECRET_ACCESS_KEY" multipart s3://kvb | grep -c killed
	}
	in_parts() {	# UPLOADS SEED: a writer that has an upload under way beside the others
		kvput -q --bwlimit 4MB/s s3://kvb/killed "gen:llama-3.1-8b?tokens=256&seed=$2" &
		writer=$!
		i=0
		while [ "$(uploads)" -ne "$1" ]; do
			[ $((i += 1)) -lt 20 ] || return 1
			sleep 0.2
		done
	}
	killed() { in_parts "$@" && kill -9 "$writer" && ! wait "$writer"; }
	ok 'a writer in parts'			in_parts 1 2
	live=$writer
	ok '... another, killed'		killed 2 3
	is '... nothing of it is visible'	"$(kvget -q s3://kvb/killed 2>&1 | grep -ac '"tensor\|kvcache')" 0
	is '... no secret is noted'		"$(cat "$notes"/* | grep -c "$AWS_SECRET_ACCESS_KEY")" 0
	kvevict -q s3://kvb/killed --litter -n >"$tmp/dry"
	is '... a dry run names it'		"$(cut -f 1,2 "$tmp/dry" | tr '\t' ' ')" 'sweep temporary'
	is '... and leaves it'			"$(uploads)" 2
	ok '... it goes at once'		sh -c 'kvevict -q s3://kvb/killed --litter | cmp - "$1"' - "$tmp/dry"
	is '... the living one is left'		"$(uploads)" 1
	if command -v faketime >/dev/null; then
		ok '... at any age'		faketime -f +11m kvput -q --sweep s3://kvb/killed "$tmp/s"
		is '... still'			"$(uploads)" 1
	fi
	ok '... and completes'			wait "$live"
	out=$(kvput s3://kvb/killed 'gen:llama-3.1-8b?tokens=256&seed=2' 2>&1)
	ok '... it is there'			expr "$out" : '.*put 0, skipped 1 '
	ok '... and whole'			kvstat verify -q s3://kvb/killed
	ok 'killed, and no note'		killed 1 4
	rm "$notes"/*
	ok '... sweep spares the young'		kvput -q --sweep s3://kvb/killed "$tmp/s"
	is '... one upload still'		"$(uploads)" 1
	if command -v faketime >/dev/null; then
		ok '... eleven minutes on'	faketime -f +11m kvput -q --sweep s3://kvb/killed "$tmp/s"
		is '... none is left'		"$(uploads)" 0
	fi
	ok 'killed, by kvput --sweep'		killed 1 5
	ok '... it goes at once'		kvput -q --sweep s3://kvb/killed "$tmp/s"
	is '... none is left'			"$(uploads)" 0
	is 'no note is left'			"$(ls -A "$notes")" ''
else
	skip 'no s3cmd'
fi
unset KVTOOLS_MULTIPART_SIZE

# a time to live in Redis outlives a copy through a bucket
if command -v redis-server >/dev/null && command -v redis-cli >/dev/null; then
	# shellcheck source=tests/server/redis.sh
	. "$here/server/redis.sh"
	redis_start r
	red=redis://127.0.0.1:$redis_port
	ttl() { redis_cli r -n "$1" TTL "$(redis_cli r -n "$1" RANDOMKEY)"; }
	kvput -q "$red/1" --ttl 1h "$tmp/s"
	ok 'from Redis to a bucket and back'	sh -c 'kvget -q "$1/1" | kvput -q "$2" && kvget -q "$2" | kvput -q "$1/2"' - "$red" s3://kvb/ttl
	ok '... the time to live goes along'	test "$(ttl 2)" -gt 3500 -a "$(ttl 2)" -le "$(ttl 1)"
	ok '... the same bytes'			sh -c 'kvget -q "$1/1" >"$2" && kvget -q "$1/2" | cmp - "$2"' - "$red" "$tmp/ttl"
	redis_stop r
else
	skip 'no redis-server'
fi

# each trouble has its line and its status
ok 'wrong secret is 6'			env AWS_SECRET_ACCESS_KEY=canary sh -c 'kvget s3://kvb/a 2>&1 >/dev/null | grep -v canary | grep SignatureDoesNotMatch'
ok 'unknown key is 6'			says 6 InvalidAccessKeyId env AWS_ACCESS_KEY_ID=NOBODY kvget s3://kvb/a
ok 'no credentials are 6'		says 6 'no AWS credentials' env -u AWS_ACCESS_KEY_ID kvget s3://kvb/a
ok 'unsigned is 6'			says 6 'without credentials' env KVTOOLS_NO_SIGN_REQUEST=1 kvget s3://kvb/a
ok '... by its option'			says 6 'without credentials' kvget --no-sign-request s3://kvb/a
ok 'unreachable is 5'			says 5 'cannot be reached' kvget --retries 0 --endpoint-url http://127.0.0.1:1 s3://kvb/a
ok 'no such host is 5'			says 5 'is not known' kvget --retries 0 --endpoint-url http://nohost.invalid s3://kvb/a
ok 'https to http is 6'			says 6 TLS kvget --endpoint-url "https://${AWS_ENDPOINT_URL#http://}" s3://kvb/a
if command -v faketime >/dev/null; then
	ok 'a wrong clock is 6'		says 6 'clocks differ by 7[12][0-9][0-9] s' faketime -f +2h kvget s3://kvb/a
fi
ok 'a bad profile is 2'			says 2 "profile 'nope'" kvget --profile nope s3://kvb/a
ok 'a bad region option of a URL is 2'	says 2 'no argument' kvget 's3://kvb/a?regoin=x'
ok 'virtual host style by its option'	kvget -q -O /dev/null --retries 0 --virtual-host --endpoint-url "http://localhost:${AWS_ENDPOINT_URL##*:}" s3://kvb/a
ok 'virtual host style'			env KVTOOLS_VIRTUAL_HOST=1 kvget -q -O /dev/null --retries 0 --endpoint-url "http://localhost:${AWS_ENDPOINT_URL##*:}" s3://kvb/a

# https with a certificate of our own
RGW_TLS=1 "$gateway" start "$tmp/t" >"$tmp/env" && . "$tmp/env"
ok 'https, private authority'		kvput -q --create-bucket s3://kvt "$tmp/s"
ok '... and back'			same s3://kvt
ok 'by its option'			env -u AWS_CA_BUNDLE kvget -q -O /dev/null --ca-bundle "$AWS_CA_BUNDLE" s3://kvt
ok 'an unknown authority is 6'		says 6 'not trusted' env -u AWS_CA_BUNDLE kvget s3://kvt
ok 'a bundle that is not there is 2'	says 2 'cannot be used' kvget --ca-bundle /nonexistent s3://kvt
finish
