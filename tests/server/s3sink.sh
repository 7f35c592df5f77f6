#!/bin/bash
# A fast S3 look-alike that shows the limit of a client: nginx with WebDAV PUT into DIR, which
# should be on tmpfs. It checks nothing; a listing of the bucket is a fixed text.
#   s3sink.sh start DIR BUCKET   prints its environment
#   s3sink.sh list DIR           the listing becomes what is there now
#   s3sink.sh stop DIR
# shellcheck disable=SC2015	# "a && b || die" is meant as it reads
set -u
umask 077
die() { echo "s3sink.sh: $*" >&2; exit 1; }

verb=${1:-} dir=${2:-} bucket=${3:-}
[ -n "$dir" ] || die "usage: $0 start DIR BUCKET | list DIR | stop DIR"
if [ "$verb" = stop ]; then
	[ -e "$dir/nginx.conf" ] || exit 0
	pid=$(cat "$dir/nginx.pid" 2>/dev/null) || pid=0
	if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$dir/nginx.conf"; then
		kill "$pid"
		while [ -d "/proc/$pid" ]; do sleep 0.02; done
	fi
	rm -rf -- "$dir"
	exit 0
fi
list() {
	echo '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
	(cd "$dir"/root/* && find . -type f -printf '<Contents><Key>%P</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"0"</ETag><Size>%s</Size></Contents>\n' | sort)
	echo '</ListBucketResult>'
}
if [ "$verb" = list ]; then
	list >"$dir/list.xml"
	exit
fi
[ "$verb" = start ] && [ -n "$bucket" ] || die "usage: $0 start DIR BUCKET | list DIR | stop DIR"
command -v nginx >/dev/null || PATH=$PATH:/usr/sbin
command -v nginx >/dev/null || die 'nginx not here'
mkdir -p "$dir" && dir=$(cd "$dir" && pwd) && [ -z "$(ls -A "$dir")" ] || die "$dir: not empty"
mkdir -p "$dir/root/$bucket" "$dir/tmp"
list >"$dir/list.xml"
conf() {
	cat >"$dir/nginx.conf" <<CONF
daemon on; worker_processes 2; pid $dir/nginx.pid; error_log $dir/error.log warn;
$([ "$(id -u)" = 0 ] && echo 'user root;')
events { worker_connections 512; }
http {
  access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000; etag on;
  client_max_body_size 0; client_body_buffer_size 1m; client_body_temp_path $dir/tmp;
  proxy_temp_path $dir/tmp/p; fastcgi_temp_path $dir/tmp/f; uwsgi_temp_path $dir/tmp/u;
  scgi_temp_path $dir/tmp/s;
  server {
    listen 127.0.0.1:$1;
    root $dir/root;
    location ~ ^/[^/]*/?\$ { default_type application/xml; alias $dir/list.xml; }
    location / { dav_methods PUT DELETE; dav_access user:rw; create_full_put_path on; }
  }
}
CONF
}
for _ in 1 2 3 4 5; do
	port=$((20000 + RANDOM % 10000))
	conf $port
	nginx -q -c "$dir/nginx.conf" -p "$dir" -e "$dir/error.log" 2>/dev/null && break
	port=0
done
[ "$port" -ne 0 ] || die "nginx will not start: $(tail -n 1 "$dir/error.log")"
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.02; done
echo "export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=y"
echo "export AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true"
