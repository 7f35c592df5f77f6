#!/usr/bin/python3
"""A proxy that knows CONNECT alone: connectproxy.py [USER:PASSWORD]. Its port goes to stdout first,
then a line for each request: the status it got, and its first line."""
import base64
import socket
import sys
import threading

WANTED = sys.argv[1:] and 'Basic ' + base64.b64encode(sys.argv[1].encode()).decode()


def pump(a, b):
    try:
        while data := a.recv(1 << 16):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(c):
    head = b''
    while b'\r\n\r\n' not in head:
        data = c.recv(1)
        if not data:
            return
        head += data
    lines = head.decode('latin-1').split('\r\n')
    method, target = lines[0].split(' ')[:2]
    given = [v for k, _, v in (x.partition(': ') for x in lines) if k.lower() == 'proxy-authorization']
    up, status = None, 405 if method != 'CONNECT' else 407 if WANTED and given != [WANTED] else 200
    if status == 200:
        try:
            up = socket.create_connection(target.rsplit(':', 1))
        except OSError:
            status = 502
    print(status, lines[0], flush=True)
    length = '' if up else 'Content-Length: 0\r\n'
    c.sendall(f'HTTP/1.1 {status} x\r\n{length}\r\n'.encode())
    if up:
        threading.Thread(target=pump, args=(up, c), daemon=True).start()
        pump(c, up)
    c.close()


listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
