#ifndef BASE_XML_H
#define BASE_XML_H

#include <stddef.h>

#include "base/err.h"

/*
 * Just enough XML for the answers of web services: elements and text, strictly. No
 * document types, no entities but the five and numbers, no CDATA; attributes and
 * namespace prefixes are passed over.
 */

#define XML_DEPTH 16

/* Called when an element ends. path is "Root/Child/Name"; text is what it held if it held
 * no element, entities decoded, NUL-terminated, and "" otherwise. Returns 0, or -1 with e
 * set to stop. */
typedef int xml_element(void *ctx, const char *path, const char *text, struct err *e);

/* Scan the n bytes at text, which must have room for one more; they are taken apart.
 * ERR_CORRUPT with the offset when they are not well-formed, or nested deeper than XML_DEPTH. */
int xml_scan(char *text, size_t n, xml_element *each, void *ctx, struct err *e);

#endif
