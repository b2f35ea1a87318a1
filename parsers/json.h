/*
 * json: the one-pass scanner. It validates one JSON object (RFC 8259, duplicate keys detected,
 * depth bounded) and cuts it into its top-level members; values stay the raw text that they were.
 * No allocation, no recursion, no copies.
 *
 * A pure function of its input; any thread.
 */
#ifndef BARGE_JSON_H
#define BARGE_JSON_H

#include "agent/base/base.h"

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_OBJECT,
    JSON_ARRAY
};

enum {
    JSON_KEY_ESCAPED = 1,   /* the key holds a backslash */
    JSON_VALUE_ESCAPED = 2, /* a string value holds a backslash */
    JSON_NEEDS_REWRITE = 4, /* key or value must go through json_rewrite before it may be sent: raw
                               control characters (between tokens too: a document is one line),
                               invalid UTF-8, a surrogate without its other half, a number that
                               Elasticsearch refuses, keys inside that are there twice or are no
                               path (empty, ".a", "a..b"), or too many to tell (JSON_SEEN_MAX) */
    JSON_KEY_DOTTED = 8,    /* the key holds a dot */
    JSON_KEY_PLAIN = 16     /* what json_scan_escaped says of most: the key has at most 27 bytes, is
                               not empty and begins with no blank; without it nothing is said */
};

struct json_member {
    struct bytes key;   /* between the quotes, escapes as they stand */
    struct bytes value; /* raw text; strings with their quotes */
    uint32_t key_hash;  /* json_key_hash of the key's bytes */
    uint8_t type;       /* enum json_type */
    uint8_t flags;
};

#define JSON_MAX_DEPTH 64
#define JSON_MAX_MEMBERS 1024

/* Keys in the open objects inside one member: beyond this many the scanner stops comparing them and
 * leaves it to json_rewrite, which compares any number. */
#define JSON_SEEN_MAX 128

enum json_result {
    JSON_OK,
    JSON_NOT_OBJECT, /* does not begin with { after blanks */
    JSON_INVALID,    /* begins with { and is no JSON object, or is followed by more than blanks */
    JSON_TOO_DEEP,   /* deeper than JSON_MAX_DEPTH */
    JSON_TOO_MANY    /* more than max members */
};

/* Scans text. Members (slices of text, in their order, duplicates of a key included) go to
 * m[0..*n); max <= JSON_MAX_MEMBERS. *duplicate says whether two top-level keys are the same once
 * escapes are undone and broken bytes replaced. Raw control characters inside strings and invalid
 * UTF-8 are accepted and flagged (they get repaired); NaN, comments, trailing commas are not JSON.
 * Time is linear in text.n whatever the keys are. */
enum json_result json_scan(struct bytes text, struct json_member *m, size_t max, size_t *n,
                           bool *duplicate);

/* json_string_end, json_unescape and json_scan in one, and much cheaper: cuts the object that the
 * inside of a JSON string holds, as Docker's log member does. Behind inside stands the string's
 * closing quote, or the escape \n and the quote, and JSON_REACH more bytes can be read; from inside
 * to the quote all is valid UTF-8 without control characters (json_line_end tells). Nothing else
 * need be known of it. to must have room for inside.n + JSON_REACH and gets the decoded object;
 * the members are slices of it. false: nothing is said, it is to be read in another way.
 *
 * seen: the keys of objects before this one. Loggers write the same keys in the same order, so the
 * key that last followed another one is compared first; how many have been seen changes the cost,
 * never the result. */
#define JSON_REACH 48
#define JSON_KEYS_SEEN 256

struct json_key_seen {
    char inside[32];            /* \"key\": and zeros */
    char plain[32];             /* "key":" */
    struct json_key_seen *next; /* the key that last came behind it */
    uint32_t n, mask, hash, object;
    uint8_t flags;
};

/* Belongs to one thread; json_keys_seen_init before its first use. */
struct json_keys_seen {
    uint32_t object;            /* the number of the one that is read */
    struct json_key_seen first; /* what its first key follows */
    struct json_key_seen key[JSON_KEYS_SEEN];
};

void json_keys_seen_init(struct json_keys_seen *seen);

bool json_scan_escaped(struct bytes inside, char *to, struct json_keys_seen *seen,
                       struct json_member *m, size_t max, size_t *n, bool *duplicate);

/* The line feed that ends the line at p, NULL when there is none before end. *flags gets
 * JSON_NEEDS_REWRITE (or-ed in) when the line holds a control character or invalid UTF-8. */
const char *json_line_end(const char *p, const char *end, uint8_t *flags);

/* The hash in key_hash: over the key's letters folded to lower case with '_', '-' and '.' left out,
 * so that requestId, request_id and X-Request-ID's tail meet. */
uint32_t json_key_hash(struct bytes key);

/* Writes value (any JSON text that json_scan accepted) so that Elasticsearch takes it: control
 * characters escaped, blanks outside of strings left out, invalid UTF-8 and lone surrogates as
 * U+FFFD (sets *repaired), duplicate keys reduced to the last, keys that are no path with '_' for
 * each dot (an empty one is "_"), numbers that do not fit as strings. Everything else stays byte
 * for byte, but keys are written with no more escapes than they need. to must have room for
 * json_rewrite_bound(value.n); value.n < 512 MiB. Returns the bytes written. Objects with more than
 * a few hundred keys cost an allocation. */
size_t json_rewrite(struct bytes value, char *to, bool *repaired);
size_t json_rewrite_bound(size_t n);

/* Whether Elasticsearch takes this number text as it stands: an integer within int64 (a field that
 * it maps by itself is a long: 2^63 is refused, while as a string it fits any field that could hold
 * it), else a finite double; at most 1,000 characters. */
bool json_number_fits(struct bytes number);

/* Looks a member of an object up by its exact key bytes (no escapes): for nested values such as
 * http.request.id. object is raw text that json_scan accepted. Of several the last. false when it
 * is not there. */
bool json_find(struct bytes object, const char *key, struct json_member *out);

/* Decodes the inside of a JSON string (between its quotes) to UTF-8 bytes: escapes undone,
 * surrogate pairs joined, lone surrogates as U+FFFD. to must have room for s.n + 32 (it may write
 * blocks). Returns the length, or SIZE_MAX when an escape is invalid. to and s must not overlap.
 * The hot path: Docker's log member to the message that a container wrote. */
size_t json_unescape(struct bytes s, char *to);

/* Decodes the escape at p into at most 4 bytes of to (whose room is 4). Returns the escape's end,
 * NULL when it is none; *n gets the bytes written. A pair of surrogates counts as one escape. */
const char *json_escape_decode(const char *p, const char *end, char *to, size_t *n);

/* Length of what json_unescape would write, without writing. SIZE_MAX when an escape is invalid. */
size_t json_unescaped_length(struct bytes s);

/* Writes the inside of a JSON string for raw bytes: RFC 8259 escapes, invalid UTF-8 as U+FFFD
 * (*repaired set). to must have room for 6 * s.n + 32. Returns the length. */
size_t json_escape(struct bytes s, char *to, bool *repaired);

/* Finds the end of a JSON string: p points behind the opening quote, end behind the last byte.
 * Returns the closing quote or NULL. *flags gets JSON_VALUE_ESCAPED and JSON_NEEDS_REWRITE as they
 * apply (or-ed in); escapes are validated. */
const char *json_string_end(const char *p, const char *end, uint8_t *flags);

#endif
