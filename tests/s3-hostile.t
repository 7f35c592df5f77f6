#!/bin/sh
# The tools against a small S3 server that looks at what arrives and misbehaves when told.
# shellcheck source=tests/lib.sh disable=SC2317
. "${0%/*}/lib.sh"
need python3 openssl kvput kvget
# shellcheck source=tests/server/s3hostile.sh
. "$here/server/s3hostile.sh"

export AWS_ACCESS_KEY_ID=TESTKEY AWS_SECRET_ACCESS_KEY=testsecret AWS_EC2_METADATA_DISABLED=true
export AWS_SHARED_CREDENTIALS_FILE=/nonexistent AWS_CONFIG_FILE=/nonexistent
cd "$tmp" || exit 1
kvget -q 'gen:tiny?tokens=2560' -O s
kvget -q 'gen:llama-3.1-8b?tokens=512' -O big	# 2 of 32 MiB
says() {	# STATUS PATTERN COMMAND...: one line on stderr that matches
	says_want=$1 says_line=$2
	shift 2
	status "$says_want" "$@" 2>err >/dev/null || { cat err; return 1; }
	[ "$(grep -c "$says_line" err) $(wc -l <err)" = '1 1' ] || { head -n 5 err; return 1; }
}

# a bucket that goes missing on the way ends the run, and is told once
hostile
kvput -q s3://bucket/fgone-GET-3 s
ok 'the bucket is gone while we read'	says 7 "'bucket' is gone" \
	kvget -q -j 2 --sort newest --fill out s3://bucket/fgone-GET-3
ok '... and while we verify'	says 7 "'bucket' is gone" kvstat verify -q s3://bucket/fgone-GET-3
ok '... and while we write'	says 7 "'bucket' is gone" kvput -q -j 2 s3://bucket/fgone-PUT-3 s

# deletes that fail are told once a request, and counted
kvput -q s3://bucket/fkeep s
kvevict s3://bucket/fkeep -j 1 --all --yes --min-age 0 --policy fifo >/dev/null 2>said
is 'what may not be deleted is told once, and counted' \
	"$? $(grep -o -e AccessDenied -e 'and so .*' -e 'none of .*' -e 'failed 10$' said | tr '\n' ' ')" \
	'6 AccessDenied and so 9 more none of 10 chunks could be deleted failed 10 '

# as many at once as the store likes, and not as a directory does
kvput -q d s
ok 'a copy from a directory sends many at once'	kvget -q --fill s3://bucket/fmeet-10 d
ok '... and so does one from a stream'	kvput -q s3://bucket/fmeet-5 s
ok '... also by kvget'	kvget -q --fill s3://bucket/2/fmeet-10 s

# requests for objects: one a chunk where no order is kept, and one more for its parent where it is
hostile --log log
kvput -q s3://bucket/order s
asked() { : >log; kvget -q "$@" >got && grep -c '^GET .*safetensors 206' log; }
is 'a small chunk that goes to a store is asked for once'	"$(asked --fill a s3://bucket/order)" 10
is '... in the order of chains twice'	"$(asked --sort chain --fill b s3://bucket/order)" 20
is '... or with a limit'	"$(asked --limit 1G --fill c s3://bucket/order)" 20
is '... or as a stream'	"$(asked s3://bucket/order; cmp got s 2>&1)" 20

export KVTOOLS_INDEX="$tmp/index.db"
kvput -q s3://bucket/index s
is 'an index that knows the parents saves asking'	"$(asked s3://bucket/index)" 10
ok '... and the stream is the same'	cmp got s
unset KVTOOLS_INDEX

# storage class and encryption are said of each object, of one in parts when it is begun
: >log
env KVTOOLS_STORAGE_CLASS=COLD KVTOOLS_SSE=aws:kms KVTOOLS_SSE_KMS_KEY_ID=k/1 KVTOOLS_MULTIPART_SIZE=5MiB \
	kvput -q s3://bucket/class s big
is 'of each put'	"$(grep -c '^PUT .*safetensors 200 COLD aws:kms k/1$' log)" 10
is 'of uploads'		"$(grep -c '^POST .*?uploads= 200 COLD aws:kms k/1$' log)" 2
is 'of no part'		"$(grep -c '^PUT .*partNumber=[0-9]*&uploadId=[^ ]* 200$' log)" 14
is 'of nothing else'	"$(grep -c COLD log)" 12
: >log
kvput -q --sse AES256 s3://bucket/sse s
is 'encryption alone'	"$(grep -c '^PUT .*safetensors 200 AES256$' log)" 10

# stopped within the parts of an upload: it is taken back, though the connections are gone
: >log
KVTOOLS_MULTIPART_SIZE=5MiB kvput -q --bwlimit 8MB/s s3://bucket/stopped big &
until grep -q partNumber log; do sleep 0.1; done
kill -TERM $!
wait $!
is 'a writer that is told to stop dies of that'	$? 143
is '... and leaves no upload'	"$(grep -c '^DELETE .*uploadId=.* 204$' log)" "$(grep -c '^POST .*uploads=' log)"

# https. After the handshake the server sends session tickets, which nobody reads while a body goes
# out: they are no answer.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
	-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem 2>/dev/null
cat cert.pem key.pem >both.pem
hostile --tls both.pem
AWS_CA_BUNDLE=$tmp/cert.pem
export AWS_CA_BUNDLE
ok 'https: bodies longer than a socket holds'	kvput -q --retries 0 --timeout 5s s3://bucket/tls big
ok '... and back'	sh -c 'kvget -q s3://bucket/tls | cmp - big'
ok 'https: an answer before the end of a body is heard' \
	says 6 policy kvput -q --retries 0 --timeout 5s s3://bucket/fearly big

# a proxy, as AWS's tools take it from the environment
proxy() {	# [USER:PASSWORD]
	rm -f proxied
	/usr/bin/python3 "$here/server/connectproxy.py" "$@" >proxied &
	proxy_pid=$!
	until test -s proxied; do sleep 0.05; done
	proxy_at=127.0.0.1:$(head -n 1 proxied)
}
through() { [ "$(grep -c '^200 CONNECT' proxied)" -gt "$1" ]; }	# more requests than so many
proxy
ok 'https_proxy: put by CONNECT'	env https_proxy="http://$proxy_at" kvput -q s3://bucket/proxy s
ok '... and get'	sh -c "https_proxy=http://$proxy_at kvget -q s3://bucket/proxy | cmp - s"
ok '... both of them'	through 1
n=$(wc -l <proxied)
ok 'no_proxy goes round it'	env https_proxy="http://$proxy_at" no_proxy=127.0.0.1 kvget -q -O no s3://bucket/proxy
is '... without a word to it'	"$(wc -l <proxied)" "$n"
ok 'what it cannot reach is 5'	says 5 'the proxy does not connect.*502' env https_proxy="http://$proxy_at" \
	kvstat ls --retries 0 --endpoint-url https://127.0.0.1:9 s3://bucket/proxy
kill $proxy_pid; wait $proxy_pid 2>/dev/null
proxy user:canary
ok 'a proxy that wants a password: 6, and it says so'	says 6 'the proxy.*password.*407' \
	env https_proxy="http://$proxy_at" kvstat ls s3://bucket/proxy
ok '... and has it from the URL'	env https_proxy="http://user:canary@$proxy_at" kvget -q -O yes s3://bucket/proxy
ok '... which is told to nobody'	sh -c "! https_proxy=http://user:canary@$proxy_at kvstat ls -vv --endpoint-url https://127.0.0.1:9 --retries 0 s3://bucket/x 2>&1 | grep canary"
unset AWS_CA_BUNDLE
ok 'https: a certificate that nobody vouches for is refused'	says 6 'not trusted' kvget s3://bucket/tls
ok '... but when told, by the environment alone'	env KVTOOLS_INSECURE=1 kvget -q -O again s3://bucket/tls

hostile
kvput -q s3://bucket/plain s
n=$(grep -c '^200 CONNECT' proxied)
ok 'HTTP_PROXY is for http'	env HTTP_PROXY="http://user:canary@$proxy_at" kvget -q -O http s3://bucket/plain
ok '... and used'	through "$n"
kill $proxy_pid; wait $proxy_pid 2>/dev/null
finish
