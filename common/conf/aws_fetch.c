#include <string.h>

#include <curl/curl.h>

#include "conf/aws_chain.h"

#define ANSWER_MAX (256 << 10)

static size_t
take(char *p, size_t one, size_t n, void *ctx)
{
	struct buf *out = ctx;

	(void)one;	/* always 1 */
	return out->len + n <= ANSWER_MAX && buf_add(out, p, n) == 0 ? n : 0;
}

static int
failed(const struct aws_call *c, CURLcode rc, struct err *e)
{
	enum err_kind kind = ERR_TEMP;

	if (rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CONNECT_ERROR)
		kind = ERR_REFUSED;
	else if (rc == CURLE_SSL_CACERT_BADFILE || rc == CURLE_URL_MALFORMAT)
		kind = ERR_USAGE;
	return err_set(e, kind, "credentials from '%.120s': %s", c->url, curl_easy_strerror(rc));
}

static void
set_up(CURL *h, const struct aws_call *c, struct buf *out)
{
	curl_easy_setopt(h, CURLOPT_URL, c->url);
	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, c->method);
	if (c->body) {
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, c->body);
		curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE, (long)strlen(c->body));
	}
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)(c->timeout_s * 1000));
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, out);
	if (c->ca_bundle)
		curl_easy_setopt(h, CURLOPT_CAINFO, c->ca_bundle);
	if (c->local)
		curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
}

int
aws_fetch(const struct aws_call *c, struct buf *out, struct err *e)
{
	struct curl_slist *headers = NULL, *more;
	CURL *h = curl_easy_init();
	long status = -1;
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	int i;

	if (!h)
		return err_set(e, ERR_FAILED, "credentials: libcurl will not start");
	for (i = 0; c->headers[i]; i++) {
		more = curl_slist_append(headers, c->headers[i]);
		if (!more)
			goto done;
		headers = more;
	}
	set_up(h, c, out);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
	rc = curl_easy_perform(h);
	if (rc == CURLE_OK)
		curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
done:
	curl_slist_free_all(headers);
	curl_easy_cleanup(h);
	return rc == CURLE_OK ? (int)status : failed(c, rc, e);
}
