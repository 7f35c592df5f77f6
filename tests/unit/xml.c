#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/xml.h"

static int
remember(void *ctx, const char *path, const char *text, struct err *e)
{
	(void)e;
	return buf_printf(ctx, "%s=%s\n", path, text);
}

/* What a text is seen as; NULL if it is refused. */
static char *
seen(const char *text, struct buf *got)
{
	size_t n = strlen(text);
	char *copy = malloc(n + 1);
	struct err e;
	int rc;

	memcpy(copy, text, n);
	got->len = 0;
	rc = xml_scan(copy, n, remember, got, &e);
	free(copy);
	if (rc < 0)
		assert_int_equal(e.kind, ERR_CORRUPT);
	return rc < 0 ? NULL : buf_text(got);
}

static void
accepted(void **state)
{
	static const char *const good[][2] = {
		{ "<a/>", "a=\n" },
		{ "<?xml version=\"1.0\"?>\n<!-- c > --><a x=\"1>2\" y='/'>t</a>\n", "a=t\n" },
		{ "<a>\n <b>1</b>\n <c/> <b> 2 </b></a>", "a/b=1\na/c=\na/b= 2 \na=\n" },
		{ "<n:a xmlns:n='u'><n:b>x</n:b></n:a>", "a/b=x\na=\n" },
		{ "<a>&lt;&amp;&gt;&quot;&apos;&#65;&#x20ac;&#128512;</a>",
			"a=<&>\"'A\xe2\x82\xac\xf0\x9f\x98\x80\n" },
		{ "\xef\xbb\xbf<a></a >", "a=\n" },
	};
	struct buf got = { 0 };
	size_t i;
	(void)state;

	for (i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_string_equal(seen(good[i][0], &got), good[i][1]);
	buf_free(&got);
}

static void
refused(void **state)
{
	static const char *const bad[] = {
		"", " ", "x", "<", "<a", "<a>", "<a></b>", "<a></a", "</a>", "<a/><b/>", "<a/>x",
		"<a>x<b/></a>", "<a><b/>x</a>", "<a>&nbsp;</a>", "<a>&#0;</a>", "<a>&#xd800;</a>",
		"<a>&#1114112;</a>", "<a>&amp</a>", "<a>&</a>", "<!DOCTYPE a><a/>",
		"<a><![CDATA[x]]></a>", "<a x='1</a>", "<a><!-- </a>", "<a>&;</a>", "<a>&#;</a>",
		"<a>&#x;</a>", "<a>t<!-- c --></a>", "<>x</>",
		"<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
	};
	struct buf got = { 0 };
	size_t i;
	(void)state;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_null(seen(bad[i], &got));
	buf_free(&got);
}

static void
nul_byte(void **state)
{
	char text[] = "<a>\0</a>";
	struct buf got = { 0 };
	struct err e;
	(void)state;

	assert_int_equal(xml_scan(text, sizeof(text) - 1, remember, &got, &e), -1);
	buf_free(&got);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted),
		cmocka_unit_test(refused),
		cmocka_unit_test(nul_byte),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
