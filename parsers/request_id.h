/*
 * request_id: ids that tie the records of one request together: which values can be one, ids
 * written into plain text, and the W3C traceparent. Pure functions; any thread.
 */
#ifndef BARGE_REQUEST_ID_H
#define BARGE_REQUEST_ID_H

#include "agent/base/base.h"

#define REQUEST_ID_MAX 255 /* what Rails keeps of an X-Request-ID; longer is not taken for one */

/* Whether the inside of a string can be an id: 1..REQUEST_ID_MAX bytes and not a placeholder ("-",
 * "null", …). */
bool request_id_usable(struct bytes s);

/* The same for trace and span ids, where all zeros stand for "no trace". */
bool request_id_usable_trace(struct bytes s);

/* Whether s is 16 or 32 hexadecimal digits, as trace and span ids are. */
bool request_id_is_hex(struct bytes s);

/* Finds request_id=…, requestId: …, X-Request-ID: …, req_id=…, correlation_id="…" and their like in
 * text: key and value at word boundaries, the value of letters, digits and -_.:@/+~| (behind a
 * quote, up to that quote). Works on plain bytes and on the inside of a JSON string alike; the id,
 * a slice of text, needs no escape. The first one wins. */
bool request_id_in_text(struct bytes text, struct bytes *id);

/* https://www.w3.org/TR/trace-context/ §3.2: version-traceid-parentid-flags. Higher versions may be
 * longer. */
bool request_id_traceparent(struct bytes s, struct bytes *trace, struct bytes *span);

#endif
