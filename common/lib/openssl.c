#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/functions.h"

#define CRYPTO(F) \
	F(long, BIO_ctrl, (BIO *b, int cmd, long n, void *p), (b, cmd, n, p)) \
	F(void, ERR_clear_error, (void), ()) \
	F(void, ERR_error_string_n, (unsigned long e, char *p, size_t n), (e, p, n)) \
	F(unsigned long, ERR_get_error, (void), ()) \
	F(unsigned long, ERR_peek_last_error, (void), ()) \
	F(const char *, ERR_reason_error_string, (unsigned long e), (e)) \
	F(int, EVP_Digest, (const void *p, size_t n, unsigned char *out, unsigned *size, \
		const EVP_MD *md, ENGINE *engine), (p, n, out, size, md, engine)) \
	F(int, EVP_DigestFinal_ex, (EVP_MD_CTX *c, unsigned char *out, unsigned *n), (c, out, n)) \
	F(int, EVP_DigestInit_ex, (EVP_MD_CTX *c, const EVP_MD *md, ENGINE *engine), \
		(c, md, engine)) \
	F(int, EVP_DigestUpdate, (EVP_MD_CTX *c, const void *p, size_t n), (c, p, n)) \
	F(int, EVP_EncodeBlock, (unsigned char *out, const unsigned char *p, int n), (out, p, n)) \
	F(void, EVP_MD_CTX_free, (EVP_MD_CTX *c), (c)) \
	F(EVP_MD_CTX *, EVP_MD_CTX_new, (void), ()) \
	F(EVP_MD *, EVP_MD_fetch, (OSSL_LIB_CTX *c, const char *name, const char *properties), \
		(c, name, properties)) \
	F(const EVP_MD *, EVP_md5, (void), ()) \
	F(const EVP_MD *, EVP_sha256, (void), ()) \
	F(void, OPENSSL_cleanse, (void *p, size_t n), (p, n)) \
	F(int, X509_VERIFY_PARAM_set1_ip_asc, (X509_VERIFY_PARAM *p, const char *ip), (p, ip)) \
	F(const char *, X509_verify_cert_error_string, (long n), (n))

#define TLS(F) \
	F(const SSL_CIPHER *, SSL_CIPHER_find, (SSL *s, const unsigned char *p), (s, p)) \
	F(long, SSL_CTX_ctrl, (SSL_CTX *c, int cmd, long n, void *p), (c, cmd, n, p)) \
	F(void, SSL_CTX_free, (SSL_CTX *c), (c)) \
	F(int, SSL_CTX_load_verify_file, (SSL_CTX *c, const char *path), (c, path)) \
	F(int, SSL_CTX_load_verify_locations, (SSL_CTX *c, const char *path, const char *dir), \
		(c, path, dir)) \
	F(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *m), (m)) \
	F(int, SSL_CTX_set_ciphersuites, (SSL_CTX *c, const char *list), (c, list)) \
	F(void, SSL_CTX_set_default_read_buffer_len, (SSL_CTX *c, size_t n), (c, n)) \
	F(int, SSL_CTX_set_default_verify_paths, (SSL_CTX *c), (c)) \
	F(int, SSL_CTX_set_num_tickets, (SSL_CTX *c, size_t n), (c, n)) \
	F(uint64_t, SSL_CTX_set_options, (SSL_CTX *c, uint64_t o), (c, o)) \
	F(void, SSL_CTX_set_psk_find_session_callback, (SSL_CTX *c, \
		SSL_psk_find_session_cb_func f), (c, f)) \
	F(void, SSL_CTX_set_psk_use_session_callback, (SSL_CTX *c, \
		SSL_psk_use_session_cb_func f), (c, f)) \
	F(void, SSL_CTX_set_verify, (SSL_CTX *c, int mode, SSL_verify_cb f), (c, mode, f)) \
	F(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX *c, const char *path, int type), \
		(c, path, type)) \
	F(int, SSL_CTX_use_certificate_chain_file, (SSL_CTX *c, const char *path), (c, path)) \
	F(void, SSL_SESSION_free, (SSL_SESSION *s), (s)) \
	F(SSL_SESSION *, SSL_SESSION_new, (void), ()) \
	F(int, SSL_SESSION_set1_master_key, (SSL_SESSION *s, const unsigned char *p, size_t n), \
		(s, p, n)) \
	F(int, SSL_SESSION_set_cipher, (SSL_SESSION *s, const SSL_CIPHER *c), (s, c)) \
	F(int, SSL_SESSION_set_protocol_version, (SSL_SESSION *s, int v), (s, v)) \
	F(int, SSL_connect, (SSL *s), (s)) \
	F(long, SSL_ctrl, (SSL *s, int cmd, long n, void *p), (s, cmd, n, p)) \
	F(int, SSL_do_handshake, (SSL *s), (s)) \
	F(void, SSL_free, (SSL *s), (s)) \
	F(X509_VERIFY_PARAM *, SSL_get0_param, (SSL *s), (s)) \
	F(int, SSL_get_error, (const SSL *s, int rc), (s, rc)) \
	F(void *, SSL_get_ex_data, (const SSL *s, int i), (s, i)) \
	F(long, SSL_get_verify_result, (const SSL *s), (s)) \
	F(const char *, SSL_get_version, (const SSL *s), (s)) \
	F(BIO *, SSL_get_wbio, (const SSL *s), (s)) \
	F(int, SSL_is_init_finished, (const SSL *s), (s)) \
	F(SSL *, SSL_new, (SSL_CTX *c), (c)) \
	F(int, SSL_read, (SSL *s, void *p, int n), (s, p, n)) \
	F(ossl_ssize_t, SSL_sendfile, (SSL *s, int fd, off_t off, size_t n, int flags), \
		(s, fd, off, n, flags)) \
	F(int, SSL_set1_host, (SSL *s, const char *name), (s, name)) \
	F(void, SSL_set_accept_state, (SSL *s), (s)) \
	F(void, SSL_set_connect_state, (SSL *s), (s)) \
	F(int, SSL_set_ex_data, (SSL *s, int i, void *p), (s, i, p)) \
	F(int, SSL_set_fd, (SSL *s, int fd), (s, fd)) \
	F(int, SSL_shutdown, (SSL *s), (s)) \
	F(int, SSL_write, (SSL *s, const void *p, int n), (s, p, n)) \
	F(int, SSL_write_ex, (SSL *s, const void *p, size_t n, size_t *put), (s, p, n, put)) \
	F(const SSL_METHOD *, TLS_client_method, (void), ()) \
	F(const SSL_METHOD *, TLS_method, (void), ())

#define FUNCTIONS(F) CRYPTO(F) TLS(F)
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/* It brings libcrypto along. */
LIB(lib_openssl, "libssl.so." TEXT(OPENSSL_SHLIB_VERSION), FUNCTIONS)
FUNCTIONS(LIB_JUMP)
