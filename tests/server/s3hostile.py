#!/usr/bin/python3
"""A small S3 server that misbehaves on demand, and checks signatures. Standard library only.

    s3hostile.py [--key ID:SECRET] [--log FILE]     prints "port N" when it listens on 127.0.0.1

It ends when its standard input does. What goes wrong is said by the object's name:
    f503-N f500-N fslow-N fexpired-N   the first N requests fail (fslow: SlowDown, Retry-After)
    fcut-N freset-N fstall-N           the first N bodies end early: closed, reset, silent
    fswap-N                            as fcut, and the object is another one afterwards
    fshort                             Content-Range and Content-Length disagree
    frange                             another range than asked for
    fchunked funsized                  a body in chunks, or of no said length
    fnorange                           Range is not known: 200 and everything
    fredirect                          307 to a place that must never be asked
    fskew fpolicy fxml fstranger       RequestTimeTooSkewed, AccessDenied, bad XML, 418
    flost                              the answer to a put or a completed upload is lost once
    fearly                             AccessDenied, before the body is read
    fgone-GET-N fgone-PUT-N            after N requests of that kind, NoSuchBucket
    fnotag                             no ETag
    fhuge                              Content-Range tells a length of 2^64 - 1
    flength                            Content-Length is no number
    fmeet-N                            puts wait for each other, N at once; AccessDenied after 5 s
    fnew                               another object of that length after the first request
    fendless ferrors ftrailers         a body, an error, trailers without end
    fbatch fother                      a batch with it: 503, or an answer that is another document
and by the bucket's:
    million     1,000,000 simulated objects, m/bf16-tp1-r0/HH/HASH.kv.safetensors
    hundredk    100,000 of them
    listcut-N   the first N listings are cut XML of the right length
    listbad     listings are no XML        listcircle  the same page for ever
    listother   all listings are another document        listyear9999   objects of that year
    region-R    301 with x-amz-bucket-region unless the request is signed for region R
The log has a line a request: METHOD PATH STATUS, and what was said of storage class and encryption.
Elsewhere: STS on POST /, instance metadata under /latest, container credentials at /creds,
each giving keys that this server accepts and that end after --life seconds.
"""
import argparse
import datetime
import hashlib
import hmac
import json
import re
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANY = {'million': 1000000, 'hundredk': 100000}
DUMB = {'empty': '', 'html': '<html>Welcome!</html>', 'cut': '<DeleteResult><Error><Key>l/a',
        'late': '<Error><Code>InternalError</Code></Error>',
        'nokey': '<DeleteResult><Error><Code>InternalError</Code></Error></DeleteResult>',
        'other': '<DeleteResult><Error><Key>l/who</Key></Error></DeleteResult>'}
NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
NOTED = ('x-amz-storage-class', 'x-amz-server-side-encryption', 'x-amz-server-side-encryption-aws-kms-key-id')
lock = threading.Lock()
buckets = {'bucket': {}}
lifecycle = {}
uploads = {}
counts = {}
meetings = {}
issued = {}            # id -> (secret, token, end)
state = {'issue': 0, 'upload': 0}


def iso(t):
    return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.000Z')


def xml(text):
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')


def first(name, n):
    """Is this among the first n requests of that name?"""
    with lock:
        counts[name] = counts.get(name, 0) + 1
        return counts[name] <= n


def meet(name, n):
    """Wait for n that call this."""
    with lock:
        barrier = meetings.setdefault(name, threading.Barrier(n))
    try:
        barrier.wait(5)
    except threading.BrokenBarrierError:
        return False
    return True


def issue():
    with lock:
        state['issue'] += 1
        ident = 'ISSUED%04d' % state['issue']
        issued[ident] = ('issued-secret-%d' % state['issue'], 'issued-token-%d' % state['issue'],
                         time.time() + args.life)
    secret, token, end = issued[ident]
    return ident, secret, token, iso(end).replace('.000', '')


class Etag:
    def __init__(self, data, when=None):
        self.data = data
        self.tag = '"%s"' % hashlib.md5(data).hexdigest()
        self.when = when or time.time()


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = 1 << 16

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_):
        pass

    # --- answers
    def answer(self, status, body=b'', **headers):
        if isinstance(body, str):
            body = body.encode()
        if args.log:
            with lock, open(args.log, 'a') as f:
                f.write('%s %s %d%s\n' % (self.command, self.path, status, ''.join(
                    ' ' + self.headers[h] for h in NOTED if h in self.headers)))
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace('_', '-'), v)
        if 'Content_Length' not in headers:
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)
        self.wfile.flush()

    def error(self, status, code, **headers):
        self.answer(status, '<?xml version="1.0"?><Error><Code>%s</Code><Message>%s</Message></Error>' % (
            code, xml(self.headers.get('Authorization', '') + self.headers.get('x-amz-security-token', ''))),
            **headers)

    # --- requests
    def parse(self):
        path, _, query = self.path.partition('?')
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.raw_path, self.raw_query = path, query
        parts = urllib.parse.unquote(path).lstrip('/').split('/', 1)
        self.bucket = parts[0]
        self.key = parts[1] if len(parts) > 1 else ''
        n = int(self.headers.get('Content-Length') or 0)
        self.body = b'' if 'fearly' in path else self.rfile.read(n)

    def signed_wrongly(self):
        """AWS Signature Version 4, from its description. None if all is well, or an S3 code."""
        auth = self.headers.get('Authorization')
        if not auth:
            return 'AccessDenied'
        m = re.fullmatch(r'AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/(\w+)/aws4_request, ?'
                         r'SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})', auth)
        if not m:
            return 'AuthorizationHeaderMalformed'
        ident, day, self.region, service, names, signature = m.groups()
        secret, token = args.secrets.get(ident), None
        if ident in issued:
            secret, token, end = issued[ident]
            if time.time() > end:
                return 'ExpiredToken'
        if secret is None:
            return 'InvalidAccessKeyId'
        if token and self.headers.get('x-amz-security-token') != token:
            return 'InvalidToken'
        stamp = self.headers['x-amz-date']
        asked = datetime.datetime.strptime(stamp, '%Y%m%dT%H%M%SZ').replace(tzinfo=datetime.timezone.utc)
        if abs(time.time() - asked.timestamp()) > 900:
            return 'RequestTimeTooSkewed'
        payload = self.headers.get('x-amz-content-sha256', hashlib.sha256(self.body).hexdigest())
        if payload != 'UNSIGNED-PAYLOAD' and payload != hashlib.sha256(self.body).hexdigest():
            return 'XAmzContentSHA256Mismatch'
        for name in self.headers:
            if name.lower().startswith('x-amz-') and name.lower() not in names.split(';'):
                return 'AccessDenied'
        quote = lambda s: urllib.parse.quote(s, safe='-._~')
        query = '&'.join(sorted('%s=%s' % (quote(k), quote(v)) for k, v in
                                urllib.parse.parse_qsl(self.raw_query, keep_blank_values=True)))
        canonical = '\n'.join([self.command, urllib.parse.quote(urllib.parse.unquote(self.raw_path), safe='/-._~'),
                               query] + ['%s:%s' % (n, self.headers[n].strip()) for n in names.split(';')] +
                              ['', names, payload])
        scope = '%s/%s/%s/aws4_request' % (day, self.region, service)
        text = 'AWS4-HMAC-SHA256\n%s\n%s\n%s' % (stamp, scope, hashlib.sha256(canonical.encode()).hexdigest())
        key = ('AWS4' + secret).encode()
        for part in (day, self.region, service, 'aws4_request'):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), signature):
            return 'SignatureDoesNotMatch'
        return None

    def handle_any(self):
        self.parse()
        if self.path.startswith('/latest/') or self.path == '/creds':
            return self.metadata()
        if self.command == 'POST' and self.path == '/':
            return self.sts()
        if 'fearly' in self.key:
            self.error(403, 'AccessDenied')
            time.sleep(0.5)
            self.close_connection = True
            return None
        code = None if args.open else self.signed_wrongly()
        if code:
            return self.error(400 if code == 'ExpiredToken' else 403, code)
        if self.bucket.startswith('region-') and self.region != self.bucket[7:]:
            return self.error(301, 'PermanentRedirect', x_amz_bucket_region=self.bucket[7:])
        if self.faulty():
            return None
        if not self.key:
            return self.on_bucket()
        if self.bucket not in buckets:
            return self.error(404, 'NoSuchBucket')
        return getattr(self, 'object_' + self.command, self.refuse)()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def refuse(self):
        self.error(405, 'MethodNotAllowed')

    def faulty(self):
        """Failures that come before anything is done."""
        for fault, status, code, headers in (
                ('f503', 503, 'ServiceUnavailable', {}), ('f500', 500, 'InternalError', {}),
                ('fslow', 503, 'SlowDown', {'Retry_After': '1'}), ('fexpired', 400, 'ExpiredToken', {})):
            m = re.search(fault + r'-(\d+)', self.key)
            if m and first(self.key, int(m.group(1))):
                self.error(status, code, **headers)
                return True
        for fault, status, code in (('fskew', 403, 'RequestTimeTooSkewed'), ('fpolicy', 403, 'AccessDenied')):
            if fault in self.key:
                self.error(status, code, Date='Thu, 01 Jan 2026 00:00:00 GMT')
                return True
        m = re.search(r'fmeet-(\d+)', self.key)
        if m and self.command == 'PUT' and not meet(m.group(0), int(m.group(1))):
            self.error(403, 'AccessDenied')
            return True
        m = re.search(r'fgone-(\w+)-(\d+)', self.key)
        if m and m.group(1) == self.command and not first(m.group(0), int(m.group(2))):
            self.error(404, 'NoSuchBucket')
        elif 'ferrors' in self.key and self.command == 'GET':
            self.endless(400)
        elif 'fxml' in self.key:
            self.answer(400, '<Error><Code>Oops')
        elif 'fstranger' in self.key:
            self.answer(418, 'short and stout')
        elif 'fredirect' in self.key:
            self.answer(307, '', Location='http://127.0.0.1:%d/latest/stolen' % self.server.server_port)
        else:
            return False
        return True

    # --- objects
    def object_PUT(self):
        objects = buckets[self.bucket]
        if 'partNumber' in self.query:
            with lock:
                parts = uploads.get(self.query['uploadId'], {}).get('parts')
            if parts is None:
                return self.error(404, 'NoSuchUpload')
            o = parts[int(self.query['partNumber'])] = Etag(self.body)
            return self.answer(200, ETag=o.tag)
        with lock:
            if self.headers.get('If-None-Match') == '*' and self.key in objects:
                exists = True
            else:
                exists = False
                objects[self.key] = o = Etag(self.body)
        if exists:
            return self.error(412, 'PreconditionFailed')
        if 'flost' in self.key and first('put ' + self.key, 1):
            self.close_connection = True
            return self.connection.close()
        return self.answer(200, ETag=o.tag)

    def object_HEAD(self):
        o = buckets[self.bucket].get(self.key)
        if not o:
            return self.answer(404)
        return self.answer(200, Content_Length=str(len(o.data)), ETag=o.tag,
                           Last_Modified=self.date_time_string(o.when))

    def object_GET(self):
        if 'uploadId' in self.query:
            with lock:
                there = self.query['uploadId'] in uploads
            return self.answer(200, '<ListPartsResult %s/>' % NS) if there else self.error(404, 'NoSuchUpload')
        o = buckets[self.bucket].get(self.key)
        if not o:
            return self.error(404, 'NoSuchKey')
        if self.headers.get('If-Match', o.tag) != o.tag:
            return self.error(412, 'PreconditionFailed')
        if 'fnew' in self.key and first('new ' + self.key, 1):
            buckets[self.bucket][self.key] = Etag(bytes(reversed(o.data)))
        data, status, headers = o.data, 200, {'ETag': o.tag, 'Last_Modified': self.date_time_string(o.when)}
        m = re.fullmatch(r'bytes=(\d+)-(\d*)', self.headers.get('Range', ''))
        if m and 'fnorange' not in self.key:
            a, b = int(m.group(1)), int(m.group(2) or len(data) - 1)
            if 'frange' in self.key:
                a, b = a + 1, b + 1
            if a >= len(data):
                return self.error(416, 'InvalidRange', Content_Range='bytes */%d' % len(data))
            b = min(b, len(data) - 1)
            headers['Content_Range'] = 'bytes %d-%d/%d' % (a, b, len(data))
            data, status = data[a:b + 1], 206
        if 'fnotag' in self.key:
            del headers['ETag']
        if 'fhuge' in self.key:
            headers['Content_Range'] = headers['Content_Range'].split('/')[0] + '/18446744073709551615'
        if 'flength' in self.key:
            headers['Content_Length'] = '12 of them'
        if 'fendless' in self.key or 'ftrailers' in self.key:
            return self.endless(status)
        if 'fshort' in self.key:
            data = data[:-1]
        m = re.search(r'f(cut|reset|stall|swap)-(\d+)', self.key)
        if m and first('body ' + self.key, int(m.group(2))):
            return self.broken(m.group(1), status, data, headers)
        if 'fchunked' in self.key or 'funsized' in self.key:
            return self.unsized(status, data, headers)
        return self.answer(status, data, **headers)

    def endless(self, status):
        self.close_connection = True
        self.send_response(status)
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        self.wfile.write(b'0\r\n' if 'ftrailers' in self.key else b'')
        while True:
            self.wfile.write(b'Name: value\r\n' if 'ftrailers' in self.key else b'4\r\nbody\r\n')

    def unsized(self, status, data, headers):
        """In chunks with extensions and trailers, or ended by the connection's end."""
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace('_', '-'), v)
        if 'fchunked' in self.key:
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            for at in range(0, len(data), 70001):
                piece = data[at:at + 70001]
                self.wfile.write(b'%X;name="x"\r\n%s\r\n' % (len(piece), piece))
            self.wfile.write(b'0\r\nTrailer: x\r\n\r\n')
            return self.wfile.flush()
        self.send_header('Connection', 'close')
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def broken(self, how, status, data, headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace('_', '-'), v)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data[:len(data) // 2])
        self.wfile.flush()
        if how == 'stall':
            time.sleep(6)
        if how == 'reset':
            time.sleep(0.2)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        if how == 'swap':
            buckets[self.bucket][self.key] = Etag(b'another object of another length')
        self.close_connection = True
        self.connection.close()

    def object_DELETE(self):
        if 'uploadId' in self.query:
            with lock:
                gone = uploads.pop(self.query['uploadId'], None)
            return self.answer(204) if gone else self.error(404, 'NoSuchUpload')
        if 'fkeep' in self.key:
            return self.error(403, 'AccessDenied')
        buckets[self.bucket].pop(self.key, None)
        return self.answer(204)

    def object_POST(self):
        if 'uploads' in self.query:
            with lock:
                state['upload'] += 1
                ident = 'upload/%d+' % state['upload']
                uploads[ident] = {'bucket': self.bucket, 'key': self.key, 'parts': {}, 'when': time.time()}
            return self.answer(200, '<InitiateMultipartUploadResult %s><UploadId>%s</UploadId>'
                                    '</InitiateMultipartUploadResult>' % (NS, ident))
        with lock:
            u = uploads.get(self.query.get('uploadId'))
        if not u:
            return self.error(404, 'NoSuchUpload')
        asked = re.findall(r'<PartNumber>(\d+)</PartNumber><ETag>([^<]*)</ETag>', self.body.decode())
        if [t for _, t in asked] != [u['parts'][int(n)].tag for n, _ in asked]:
            return self.error(400, 'InvalidPart')
        if 'finside' in self.key:
            return self.answer(200, '<Error><Code>InternalError</Code></Error>')
        o = Etag(b''.join(u['parts'][int(n)].data for n, _ in asked))
        o.tag = o.tag[:-1] + '-%d"' % len(asked)
        buckets[self.bucket][self.key] = o
        with lock:
            del uploads[self.query['uploadId']]
        if 'flost' in self.key:
            self.close_connection = True
            return self.connection.close()
        return self.answer(200, '<CompleteMultipartUploadResult %s><ETag>%s</ETag></CompleteMultipartUploadResult>'
                           % (NS, xml(o.tag)))

    # --- buckets
    def on_bucket(self):
        if self.command == 'PUT' and not self.query:
            buckets.setdefault(self.bucket, {})
            return self.answer(200)
        if self.bucket not in buckets and self.bucket not in MANY and not re.match('list|region-', self.bucket):
            return self.answer(404) if self.command == 'HEAD' else self.error(404, 'NoSuchBucket')
        if self.command == 'HEAD':
            return self.answer(200)
        for sub in ('lifecycle', 'delete', 'uploads'):
            if sub in self.query:
                return getattr(self, 'bucket_' + sub)()
        return self.listing() if self.command == 'GET' else self.refuse()

    def bucket_lifecycle(self):
        if self.command == 'GET':
            if self.bucket not in lifecycle:
                return self.error(404, 'NoSuchLifecycleConfiguration')
            return self.answer(200, lifecycle[self.bucket])
        if self.command == 'DELETE':
            lifecycle.pop(self.bucket, None)
            return self.answer(204)
        if 'Content-MD5' not in self.headers:
            return self.error(400, 'InvalidRequest')
        lifecycle[self.bucket] = self.body
        return self.answer(200)

    def bucket_delete(self):
        if 'Content-MD5' not in self.headers:
            return self.error(400, 'InvalidRequest')
        text = ''
        keys = re.findall(r'<Key>([^<]*)</Key>', self.body.decode())
        if len(keys) > 1000:
            return self.error(400, 'MalformedXML')
        if any('fbatch' in key for key in keys):
            return self.error(503, 'ServiceUnavailable')
        if any('fother' in key for key in keys):
            return self.answer(200, '<html><body/></html>')
        dumb = re.search('fdumb-([a-z]+)', ' '.join(keys))
        if dumb:        # nothing is done, and it does not say so
            return self.answer(200, DUMB[dumb.group(1)])
        for key in keys:
            plain = key.replace('&lt;', '<').replace('&gt;', '>').replace('&amp;', '&')
            if 'fkeep' in plain or ('fonce' in plain and first('delete ' + plain, 1)):
                text += '<Error><Key>%s</Key><Code>%s</Code></Error>' % (
                    key, 'AccessDenied' if 'fkeep' in plain else 'InternalError')
            else:
                buckets[self.bucket].pop(plain, None)
        return self.answer(200, '<DeleteResult %s>%s</DeleteResult>' % (NS, text))

    def bucket_uploads(self):
        if self.bucket == 'listother':
            return self.listing()
        prefix = self.query.get('prefix', '')
        with lock:
            text = ''.join('<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>' %
                           (xml(u['key']), i, iso(u['when'])) for i, u in uploads.items()
                           if u['bucket'] == self.bucket and u['key'].startswith(prefix))
        return self.answer(200, '<ListMultipartUploadsResult %s><IsTruncated>false</IsTruncated>%s'
                                '</ListMultipartUploadsResult>' % (NS, text))

    def listing(self):
        m = re.fullmatch(r'listcut-(\d+)', self.bucket)
        if self.bucket == 'listbad':
            return self.answer(200, '<ListBucketResult><Contents><Key>x</Contents></ListBucketResult>')
        if self.bucket == 'listother':
            return self.answer(200, '<html><body/></html>')
        if self.bucket == 'listyear9999':
            return self.answer(200, '<ListBucketResult %s><Contents><Key>a</Key><LastModified>9999-12-31T00:00:00Z'
                               '</LastModified><Size>1</Size></Contents></ListBucketResult>' % NS)
        if self.bucket == 'listcircle':
            return self.page([('a', 1)], [], 'again')
        if m and first(self.bucket, int(m.group(1))):
            return self.answer(200, '<ListBucketResult %s><Contents><Key>half' % NS)
        prefix, delimiter = self.query.get('prefix', ''), self.query.get('delimiter')
        start = int(self.query.get('continuation-token') or 0)
        if self.query.get('marker'):        # version 1, whose names go on after the last one
            start = int(self.query['marker'].split('/')[-1][2:64], 16) + 1
        if self.bucket in MANY and not delimiter:
            return self.many(MANY[self.bucket], prefix, start)
        if self.bucket in MANY:
            rows = [('m/bf16-tp1-r0/%02x/' % h, 0) for h in range(256)]
        else:
            rows = [(k, len(o.data)) for k, o in sorted(buckets.get(self.bucket, {}).items())]
        rows = [r for r in rows if r[0].startswith(prefix)]
        dirs = []
        if delimiter:
            cut = lambda k: k.find(delimiter, len(prefix))
            dirs = sorted({k[:cut(k) + 1] for k, _ in rows if cut(k) >= 0})
            rows = [r for r in rows if cut(r[0]) < 0]
        more = str(start + 1000) if start + 1000 < len(rows) else None
        return self.page(rows[start:start + 1000], dirs, more)

    def many(self, n, prefix, start):
        """A page of the shards that the prefix leaves: all, 16 or one."""
        m = re.match(r'm/bf16-tp1-r0/([0-9a-f]{0,2})', prefix)
        digits = m.group(1) if m else ''
        span = 256 >> 4 * len(digits)
        shard = int(digits or '0', 16) * span
        lo, hi = -(-shard * n // 256), -(-(shard + span) * n // 256)
        start = max(start, lo)
        end = min(start + 1000, hi)
        rows = [('m/bf16-tp1-r0/{0:02x}/{0:02x}{1:062x}.kv.safetensors'.format(i * 256 // n, i), i) for i in range(start, end)]
        return self.page(rows, [], str(end) if end < hi else None)

    def page(self, rows, dirs, more):
        quote = urllib.parse.quote_plus
        out = ['<?xml version="1.0" encoding="UTF-8"?><ListBucketResult %s><IsTruncated>%s</IsTruncated>' %
               (NS, 'true' if more else 'false')]
        if more:
            out.append('<NextContinuationToken>%s</NextContinuationToken>' % more)
        out += ['<Contents><Key>%s</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;0&quot;'
                '</ETag><Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>' % (quote(k, safe='/'), n)
                for k, n in rows]
        out += ['<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>' % quote(d, safe='/') for d in dirs]
        out.append('</ListBucketResult>')
        self.answer(200, ''.join(out))

    # --- credentials
    def metadata(self):
        ident, secret, token, end = issue()
        keys = {'AccessKeyId': ident, 'SecretAccessKey': secret, 'Token': token, 'Expiration': end}
        if self.path == '/creds':
            if self.headers.get('Authorization') != 'container-token':
                return self.answer(401)
            return self.answer(200, json.dumps(keys))
        if self.path == '/latest/api/token' and self.command == 'PUT':
            return self.answer(200, 'v2-token')
        if self.headers.get('X-aws-ec2-metadata-token') != 'v2-token':
            return self.answer(401)
        if self.path == '/latest/meta-data/iam/security-credentials/':
            return self.answer(200, 'the-role\n')
        if self.path == '/latest/meta-data/iam/security-credentials/the-role':
            return self.answer(200, json.dumps(dict(keys, Code='Success')))
        return self.answer(404)

    def sts(self):
        form = dict(urllib.parse.parse_qsl(self.body.decode()))
        action = form.get('Action')
        if action == 'AssumeRoleWithWebIdentity':
            if form.get('WebIdentityToken') != 'web-token':
                return self.answer(400, '<ErrorResponse><Error><Code>InvalidIdentityToken</Code></Error></ErrorResponse>')
        else:
            code = self.signed_wrongly()
            if code or action != 'AssumeRole':
                return self.answer(403, '<ErrorResponse><Error><Code>%s</Code></Error></ErrorResponse>' % code)
        return self.answer(200, '<{0}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{0}Result><Credentials>'
                                '<AccessKeyId>{1}</AccessKeyId><SecretAccessKey>{2}</SecretAccessKey><SessionToken>{3}'
                                '</SessionToken><Expiration>{4}</Expiration></Credentials></{0}Result></{0}Response>'
                           .format(action, *issue()))


parser = argparse.ArgumentParser()
parser.add_argument('--key', default='TESTKEY:testsecret')
parser.add_argument('--log')
parser.add_argument('--life', type=float, default=3600)
parser.add_argument('--open', action='store_true', help='check no signature')
parser.add_argument('--tls', metavar='PEM', help='https, with the certificate and key in this file')
args = parser.parse_args()
args.secrets = dict([args.key.split(':', 1)])
ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer.handle_error = lambda *_: None      # clients may go as they like
server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
server.daemon_threads = True
if args.tls:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(args.tls)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print('port %d' % server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
