#include <errno.h>
#include <arpa/inet.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "lib/lib.h"
#include "transport/conn_impl.h"

/*
 * TLS 1.3 and nothing older. Pre-shared keys are external ones (RFC 8446, 4.2.11) with
 * an ephemeral key exchange beside, bound to SHA-256: the key of the connection is the
 * SHA-256 of what the user's file holds, so that files of any length serve.
 */
#define IDENTITY "kvtools"
#define CERT_CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define PSK_CIPHER "TLS_AES_128_GCM_SHA256"
#define READ_AHEAD ((size_t)256 << 10)
#define BATCH 65536	/* plain bytes handed to OpenSSL at once under the lock */

/* By such an alert (RFC 8446, 6.2) a listener turns down a certificate: after the handshake as the
 * dialler sees it. */
static int
refuses(int reason)
{
	int alert = reason - SSL_AD_REASON_OFFSET;

	return (alert >= SSL_AD_HANDSHAKE_FAILURE && alert <= SSL_AD_ACCESS_DENIED) ||
	    alert == SSL_AD_CERTIFICATE_REQUIRED;
}

/* What OpenSSL says went wrong, in its words; kind by whose fault it is. */
static int
tls_fail(struct conn *c, int rc, const char *what, struct err *e)
{
	int why = SSL_get_error(c->ssl, rc), sys = errno;
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	long verify = SSL_get_verify_result(c->ssl);

	ERR_clear_error();
	if (c->secured && why == SSL_ERROR_SSL && !refuses(ERR_GET_REASON(code)))
		return err_set(e, ERR_TEMP, "%s '%s': damaged on the way: %s", what, c->name,
		    reason ? reason : "protocol error");
	if (c->opts->auth == CONN_CERT && verify != X509_V_OK)
		return err_set(e, ERR_REFUSED, "%s '%s': the peer's certificate: %s", what, c->name,
		    X509_verify_cert_error_string(verify));
	if (why == SSL_ERROR_SSL && ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
		return err_set(e, ERR_REFUSED, "%s '%s': the peer does not speak TLS", what,
		    c->name);
	if (why == SSL_ERROR_SSL && c->opts->auth == CONN_PSK &&
	    (ERR_GET_REASON(code) == SSL_R_BINDER_DOES_NOT_VERIFY ||
	    ERR_GET_REASON(code) == SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER))
		return err_set(e, ERR_REFUSED, "%s '%s': the peer has another pre-shared key", what,
		    c->name);
	if (why == SSL_ERROR_SSL)
		return err_set(e, ERR_REFUSED, "%s '%s': %s", what, c->name,
		    reason ? reason : "protocol error");
	if (why == SSL_ERROR_ZERO_RETURN || sys == 0)
		return err_set(e, ERR_TEMP, "%s '%s': the peer closed", what, c->name);
	errno = sys;
	return conn_sys(c, what, e);
}

static SSL_SESSION *
psk_session(SSL *ssl, const struct conn *c)
{
	SSL_SESSION *s = SSL_SESSION_new();
	unsigned char key[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	const unsigned char suite[2] = { 0x13, 0x01 };	/* PSK_CIPHER, RFC 8446 B.4 */
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, suite);

	if (!s || !cipher ||
	    !EVP_Digest(c->opts->psk, c->opts->n_psk, key, &n, EVP_sha256(), NULL) ||
	    !SSL_SESSION_set1_master_key(s, key, n) || !SSL_SESSION_set_cipher(s, cipher) ||
	    !SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION)) {
		SSL_SESSION_free(s);
		s = NULL;
	}
	OPENSSL_cleanse(key, sizeof(key));
	return s;
}

static int
psk_use(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *n, SSL_SESSION **out)
{
	(void)md;
	*out = psk_session(ssl, SSL_get_app_data(ssl));
	*id = (const unsigned char *)IDENTITY;
	*n = sizeof(IDENTITY) - 1;
	return *out != NULL;
}

static int
psk_find(SSL *ssl, const unsigned char *id, size_t n, SSL_SESSION **out)
{
	*out = NULL;
	if (n != sizeof(IDENTITY) - 1 || memcmp(id, IDENTITY, n) != 0)
		return 1;	/* unknown: the handshake fails for want of a certificate */
	*out = psk_session(ssl, SSL_get_app_data(ssl));
	return *out != NULL;
}

static int
load_certs(SSL_CTX *ctx, const struct conn_opts *o, struct err *e)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, o->cert) != 1)
		return err_set(e, ERR_USAGE, "certificate '%s': %s", o->cert,
		    ERR_reason_error_string(ERR_peek_last_error()));
	if (SSL_CTX_use_PrivateKey_file(ctx, o->key, SSL_FILETYPE_PEM) != 1)
		return err_set(e, ERR_USAGE, "private key '%s': %s", o->key,
		    ERR_reason_error_string(ERR_peek_last_error()));
	if (SSL_CTX_load_verify_file(ctx, o->ca) != 1)
		return err_set(e, ERR_USAGE, "certificates of trust '%s': %s", o->ca,
		    ERR_reason_error_string(ERR_peek_last_error()));
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return 0;
}

static SSL_CTX *
make_ctx(const struct conn_opts *o, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	int psk = o->auth == CONN_PSK;

	if (!ctx) {
		err_set(e, ERR_FAILED, "TLS: out of memory");
		return NULL;
	}
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS | SSL_OP_IGNORE_UNEXPECTED_EOF |
	    SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_read_ahead(ctx, 1);		/* else two system calls a record of 16 KiB */
	SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_ciphersuites(ctx, psk ? PSK_CIPHER : CERT_CIPHERS);
	if (psk) {
		SSL_CTX_set_psk_use_session_callback(ctx, psk_use);
		SSL_CTX_set_psk_find_session_callback(ctx, psk_find);
	} else if (load_certs(ctx, o, e) < 0) {
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	ERR_clear_error();
	return ctx;
}

/* Whom do we expect? A listener takes whoever the CA signed unless told a name. */
static int
expect_name(struct conn *c, struct err *e)
{
	const char *name = c->opts->name ? c->opts->name : c->dialled ? c->addr.host : NULL;
	unsigned char ip[16];
	int ok;

	if (c->opts->auth != CONN_CERT || !name || !*name)
		return 0;
	if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1)
		ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), name);
	else
		ok = SSL_set1_host(c->ssl, name) && (!c->dialled ||
		    SSL_set_tlsext_host_name(c->ssl, name));
	return ok ? 0 : err_set(e, ERR_USAGE, "TLS: '%s' is not a host name", name);
}

/* OpenSSL wants the socket to become ready: wait, without its lock. */
static int
tls_wait(struct conn *c, int why, double timeout_s, const char *what, struct err *e)
{
	return conn_wait(c, why == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN, -1, timeout_s, what, e);
}

static int
handshake(struct conn *c, struct err *e)
{
	double until = clock_mono() + c->opts->connect_s;
	int rc, why;

	for (;;) {
		errno = 0;
		rc = SSL_do_handshake(c->ssl);
		if (rc == 1)
			return 0;
		why = SSL_get_error(c->ssl, rc);
		if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			return tls_fail(c, rc, "TLS handshake with", e);
		if (clock_mono() > until)
			return err_set(e, ERR_TEMP, "TLS handshake with '%s': timed out", c->name);
		if (tls_wait(c, why, c->opts->connect_s, "TLS handshake with", e) < 0)
			return -1;
	}
}

/* A dialler that speaks plain: TLS records begin otherwise (RFC 8446, 5.1), kvwire with 'K'. */
static int
speaks_plain(struct conn *c, struct err *e)
{
	char first = 0;

	while (recv(c->fd, &first, 1, MSG_PEEK) < 0 && (errno == EAGAIN || errno == EINTR))
		if (conn_wait(c, POLLIN, -1, c->opts->connect_s, "TLS handshake with", e) < 0)
			return -1;
	if (first == 'K')
		return err_set(e, ERR_REFUSED, "'%s' speaks plain, this end wants TLS (%s)",
		    c->name, c->opts->auth == CONN_PSK ? "a pre-shared key" : "certificates");
	return 0;
}

int
tls_start(struct conn *c, struct err *e)
{
	SSL_CTX *ctx;

	if (!c->dialled && speaks_plain(c, e) < 0)
		return -1;
	if (lib_openssl(e) < 0)
		return err_in(e, "TLS");
	ctx = make_ctx(c->opts, e);
	if (!ctx)
		return -1;
	c->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	if (!c->ssl || !SSL_set_app_data(c->ssl, c) || SSL_set_fd(c->ssl, c->fd) != 1)
		return err_set(e, ERR_FAILED, "TLS: out of memory");
	if (c->dialled)
		SSL_set_connect_state(c->ssl);
	else
		SSL_set_accept_state(c->ssl);
	if (expect_name(c, e) < 0 || handshake(c, e) < 0)
		return -1;
	c->secured = 1;
	c->ktls_send = BIO_get_ktls_send(SSL_get_wbio(c->ssl)) > 0;
	snprintf(c->security, sizeof(c->security), "%s %s%s", SSL_get_version(c->ssl),
	    c->opts->auth == CONN_PSK ? "psk" : "certificates", c->ktls_send ? ", kernel" : "");
	return 0;
}

ssize_t
tls_read(struct conn *c, void *p, size_t n, int wait, struct err *e)
{
	int rc, why;

	for (;;) {
		pthread_mutex_lock(&c->tls_lock);
		errno = 0;
		rc = SSL_read(c->ssl, p, n > INT_MAX ? INT_MAX : (int)n);
		why = rc > 0 ? 0 : SSL_get_error(c->ssl, rc);
		if (rc <= 0 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE &&
		    why != SSL_ERROR_ZERO_RETURN)
			rc = tls_fail(c, rc, "read", e);
		pthread_mutex_unlock(&c->tls_lock);
		if (rc > 0)
			return rc;
		if (why == SSL_ERROR_ZERO_RETURN)
			return 0;
		if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			return -1;
		if (tls_wait(c, why, wait ? c->opts->timeout_s : 0, "read", e) < 0)
			return -1;
	}
}

/* Records are 16 KiB; while more are to come, packets wait to be full ones. */
static void
cork(struct conn *c, int on)
{
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

static int
write_all(struct conn *c, const void *p, size_t n, struct err *e)
{
	const char *at = p;
	int rc, why;

	while (n > 0) {
		pthread_mutex_lock(&c->tls_lock);
		errno = 0;
		rc = SSL_write(c->ssl, at, n > BATCH ? BATCH : (int)n);
		why = rc > 0 ? 0 : SSL_get_error(c->ssl, rc);
		if (rc <= 0 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			rc = tls_fail(c, rc, "write", e);
		pthread_mutex_unlock(&c->tls_lock);
		if (rc > 0) {
			at += rc;
			n -= (size_t)rc;
		} else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
			return -1;
		} else if (tls_wait(c, why, c->opts->timeout_s, "write", e) < 0) {
			return -1;
		}
	}
	return 0;
}

int
tls_write(struct conn *c, const void *p, size_t n, struct err *e)
{
	int rc;

	if (n <= BATCH)
		return write_all(c, p, n, e);
	cork(c, 1);
	rc = write_all(c, p, n, e);
	cork(c, 0);
	return rc;
}

/* Without the kernel's help: through a small buffer, which stays in the cache. */
static int
send_through(struct conn *c, int fd, uint64_t off, size_t n, struct err *e)
{
	char part[BATCH];
	ssize_t got;
	int rc = 0;

	cork(c, 1);
	while (rc == 0 && n > 0) {
		got = io_pread(fd, part, n < sizeof(part) ? n : sizeof(part), off, e);
		if (got < 0)
			rc = -1;
		else if (got == 0)
			rc = err_set(e, ERR_CORRUPT, "the file ended %zu bytes early", n);
		else
			rc = write_all(c, part, (size_t)got, e);
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	cork(c, 0);
	return rc;
}

int
tls_sendfile(struct conn *c, int fd, uint64_t off, size_t n, struct err *e)
{
	ossl_ssize_t put;
	int why;

	if (!c->ktls_send)
		return send_through(c, fd, off, n, e);

	while (n > 0) {
		pthread_mutex_lock(&c->tls_lock);
		errno = 0;
		put = SSL_sendfile(c->ssl, fd, (off_t)off, n, 0);
		why = put > 0 ? 0 : SSL_get_error(c->ssl, (int)put);
		if (put <= 0 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			put = tls_fail(c, (int)put, "sendfile to", e);
		pthread_mutex_unlock(&c->tls_lock);
		if (put > 0) {
			off += (uint64_t)put;
			n -= (size_t)put;
		} else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
			return -1;
		} else if (tls_wait(c, why, c->opts->timeout_s, "write", e) < 0) {
			return -1;
		}
	}
	return 0;
}

void
tls_end(struct conn *c)
{
	if (!c->ssl)
		return;
	if (SSL_is_init_finished(c->ssl) && !atomic_load(&c->shut))
		(void)SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	c->ssl = NULL;
	ERR_clear_error();
}
