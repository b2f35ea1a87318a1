/*
 * raw_json: pieces of JSON text that is known to be valid, as they stand: for documents that are to
 * be handed on byte for byte. Nothing is decoded and nothing recurses. Any thread.
 */
#ifndef BARGE_RAW_JSON_H
#define BARGE_RAW_JSON_H

#include "agent/base/base.h"

/* Whether text is one JSON value (yajl's verdict) and no deeper than a thousand levels, which is
 * what Elasticsearch takes itself: without it the rest must not be asked. */
bool raw_json_is_valid(struct bytes text);

/* The value of a member of an object by its key, which must need no escapes; none when object is
 * none or no object, or has no such member. Of several the first. */
struct bytes raw_json_member(struct bytes object, const char *key);

/* The next value of an array: *at is 0 at first and is moved on. false at its end, and when array
 * is none or no array. */
bool raw_json_next(struct bytes array, size_t *at, struct bytes *value);

#endif
