#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

/*
 * libcurl brings some thirty libraries along, whose loading takes longer than all that kvget does
 * with one chunk of a directory. So it is not linked: these are the functions of it that we
 * use, which load it when the first is called. Every argument of curl_easy_setopt() and
 * curl_easy_getinfo() is one machine word.
 */
#undef curl_easy_setopt
#undef curl_easy_getinfo

static struct {
	CURLcode (*global_init)(long);
	CURL *(*easy_init)(void);
	CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
	CURLcode (*easy_perform)(CURL *);
	CURLcode (*easy_send)(CURL *, const void *, size_t, size_t *);
	CURLcode (*easy_recv)(CURL *, void *, size_t, size_t *);
	CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
	void (*easy_cleanup)(CURL *);
	void (*easy_reset)(CURL *);
	const char *(*easy_strerror)(CURLcode);
	struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
	void (*slist_free_all)(struct curl_slist *);
	time_t (*getdate)(const char *, const time_t *);
	int ok;
} api;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
load(void)
{
	const struct { const char *name; void *at; } symbols[] = {
		{ "curl_global_init", &api.global_init }, { "curl_easy_init", &api.easy_init },
		{ "curl_easy_setopt", &api.easy_setopt },
		{ "curl_easy_perform", &api.easy_perform },
		{ "curl_easy_getinfo", &api.easy_getinfo }, { "curl_easy_reset", &api.easy_reset },
		{ "curl_easy_cleanup", &api.easy_cleanup },
		{ "curl_easy_strerror", &api.easy_strerror },
		{ "curl_easy_send", &api.easy_send }, { "curl_easy_recv", &api.easy_recv },
		{ "curl_slist_append", &api.slist_append },
		{ "curl_slist_free_all", &api.slist_free_all }, { "curl_getdate", &api.getdate },
	};
	void *lib = dlopen("libcurl.so.4", RTLD_NOW | RTLD_GLOBAL), *f;
	size_t i;

	for (i = 0; lib && i < sizeof(symbols) / sizeof(*symbols); i++) {
		f = dlsym(lib, symbols[i].name);
		if (!f)
			return;
		*(void **)symbols[i].at = f;
	}
	api.ok = lib != NULL;
}

static int
ready(void)
{
	pthread_once(&once, load);
	return api.ok;
}

CURLcode
curl_global_init(long flags)
{
	return ready() ? api.global_init(flags) : CURLE_FAILED_INIT;
}

CURL *
curl_easy_init(void)
{
	return ready() ? api.easy_init() : NULL;
}

CURLcode
curl_easy_setopt(CURL *h, CURLoption o, ...)
{
	va_list ap;
	void *word;

	va_start(ap, o);
	word = va_arg(ap, void *);
	va_end(ap);
	return ready() ? api.easy_setopt(h, o, word) : CURLE_FAILED_INIT;
}

CURLcode
curl_easy_getinfo(CURL *h, CURLINFO i, ...)
{
	va_list ap;
	void *word;

	va_start(ap, i);
	word = va_arg(ap, void *);
	va_end(ap);
	return ready() ? api.easy_getinfo(h, i, word) : CURLE_FAILED_INIT;
}

CURLcode
curl_easy_perform(CURL *h)
{
	return ready() ? api.easy_perform(h) : CURLE_FAILED_INIT;
}

CURLcode
curl_easy_send(CURL *h, const void *p, size_t n, size_t *sent)
{
	return ready() ? api.easy_send(h, p, n, sent) : CURLE_FAILED_INIT;
}

CURLcode
curl_easy_recv(CURL *h, void *p, size_t n, size_t *got)
{
	return ready() ? api.easy_recv(h, p, n, got) : CURLE_FAILED_INIT;
}

void
curl_easy_cleanup(CURL *h)
{
	if (ready())
		api.easy_cleanup(h);
}

void
curl_easy_reset(CURL *h)
{
	if (ready())
		api.easy_reset(h);
}

const char *
curl_easy_strerror(CURLcode c)
{
	return ready() ? api.easy_strerror(c) : "libcurl.so.4 is not here";
}

struct curl_slist *
curl_slist_append(struct curl_slist *l, const char *text)
{
	return ready() ? api.slist_append(l, text) : NULL;
}

void
curl_slist_free_all(struct curl_slist *l)
{
	if (ready())
		api.slist_free_all(l);
}

time_t
curl_getdate(const char *text, const time_t *now)
{
	return ready() ? api.getdate(text, now) : -1;
}
