#!/bin/sh
# A secret given to the tools comes out nowhere: no output at any verbosity, no argument list, no
# core, also when the server sends back in its errors what it was sent.
# shellcheck source=tests/lib.sh disable=SC2016,SC2317
. "${0%/*}/lib.sh"
need python3 kvput kvget

secret=canary-SECRET/+value token=canary-TOKEN-value
export AWS_ACCESS_KEY_ID=CANARYKEYID0000 AWS_SECRET_ACCESS_KEY=$secret
export AWS_EC2_METADATA_DISABLED=true AWS_SHARED_CREDENTIALS_FILE=/nonexistent AWS_CONFIG_FILE=/nonexistent
# shellcheck source=tests/server/s3hostile.sh
. "$here/server/s3hostile.sh"
hostile --key "$AWS_ACCESS_KEY_ID:$secret"

kvget -q 'gen:tiny?tokens=2560' -O "$tmp/s"
cd "$tmp" || exit 1
mkdir out
n=0
# Run it, whatever comes of it, and keep what it says and its arguments while it runs.
run() {
	n=$((n + 1))
	"$@" >"out/$n.out" 2>"out/$n.err" &
	tr '\0' ' ' <"/proc/$!/cmdline" >"out/$n.arg" 2>/dev/null
	wait $!
	echo "$?: $*" >>runs
}
for v in '' -v '-v -v -v' --json; do
	# shellcheck disable=SC2086
	{
		run kvput $v s3://bucket/good s
		run kvget $v s3://bucket/good
		run kvget $v -n s3://bucket/good
		run kvget $v --retries 1 s3://bucket/f503-99
		run kvget $v --retries 0 s3://listbad
		run kvput $v --retries 0 s3://bucket/fpolicy s
		run kvput $v --retries 0 s3://bucket/fstranger s
		run kvput $v --retries 0 s3://bucket/fredirect s
		run kvput $v --retries 0 s3://nobucket s
		export AWS_SESSION_TOKEN=$token
		run kvput $v --retries 0 s3://bucket/fexpired-99 s
		run kvput $v --retries 0 s3://bucket/fskew s
		run kvget $v --endpoint-url http://127.0.0.1:1 --retries 0 s3://bucket/good
		AWS_SECRET_ACCESS_KEY=canary-wrong
		run kvget $v s3://bucket/bad
		AWS_SECRET_ACCESS_KEY=$secret
		unset AWS_SESSION_TOKEN
		run kvget $v --metrics-file out/metrics s3://bucket/good
	}
done
ok 'the good runs were good'		grep -q '^0: kvget -v -v -v s3://bucket/good' runs
ok 'a wrong secret was refused'		grep -q '^6: .*bucket/bad' runs
ok 'no output has a secret'		sh -c '! grep -a -l canary out/*'
ok 'no output has a signature'		sh -c '! grep -a -l "Signature=" out/*.err out/*.out'

# a URL with a secret is refused, and not repeated
ok 'a password in a URL is 2'		status 2 kvget s3://key:canary-url@bucket/x
ok '... and not repeated'		sh -c '! kvget s3://key:canary-url@bucket/x 2>&1 | grep canary'

# killed so that it would leave a core
# shellcheck disable=SC3045
ulimit -c unlimited 2>/dev/null
kvput -q --bwlimit 100K s3://bucket/core s &
sleep 0.5
kill -SEGV $!
wait $! 2>/dev/null
ok 'no core has a secret'		sh -c '! grep -a -l canary core* 2>/dev/null'
finish
