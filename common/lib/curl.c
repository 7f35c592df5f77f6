#include <stdarg.h>

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "lib/functions.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo

#define FIXED(F) \
	F(void, curl_easy_cleanup, (CURL *h), (h)) \
	F(CURL *, curl_easy_init, (void), ()) \
	F(CURLcode, curl_easy_perform, (CURL *h), (h)) \
	F(CURLcode, curl_easy_recv, (CURL *h, void *p, size_t n, size_t *got), (h, p, n, got)) \
	F(void, curl_easy_reset, (CURL *h), (h)) \
	F(CURLcode, curl_easy_send, (CURL *h, const void *p, size_t n, size_t *put), \
		(h, p, n, put)) \
	F(const char *, curl_easy_strerror, (CURLcode rc), (rc)) \
	F(time_t, curl_getdate, (const char *text, const time_t *unused), (text, unused)) \
	F(CURLcode, curl_global_init, (long flags), (flags)) \
	F(struct curl_slist *, curl_slist_append, (struct curl_slist *l, const char *text), \
		(l, text)) \
	F(void, curl_slist_free_all, (struct curl_slist *l), (l))
#define VARIADIC(F) \
	F(CURLcode, curl_easy_getinfo, , ) \
	F(CURLcode, curl_easy_setopt, , )
#define FUNCTIONS(F) FIXED(F) VARIADIC(F)

LIB(lib_curl, "libcurl.so.4", FUNCTIONS)
FIXED(LIB_JUMP)

/* Every third argument of these two is one machine word. */
#define JUMP(name, what) \
	LIB_HIDDEN CURLcode \
	name(CURL *h, what w, ...) \
	{ \
		va_list ap; \
		void *word; \
		va_start(ap, w); \
		word = va_arg(ap, void *); \
		va_end(ap); \
		return api.name ? api.name(h, w, word) : CURLE_FAILED_INIT; \
	}
JUMP(curl_easy_getinfo, CURLINFO)
JUMP(curl_easy_setopt, CURLoption)
