/*
 * json_kernel: the inner loops of json, once for each instruction set. json.c picks one when the
 * program starts and tests run over all of them: they must not differ in a single bit. Not for
 * other modules.
 *
 * The loops are written once, in json_kernel.inc, over a vector of JSON_W bytes that each of
 * json_swar.c (plain C, any machine), json_sse2.c (every x86-64) and json_avx2.c defines. Nothing
 * is read outside the text that was given.
 */
#ifndef BARGE_JSON_KERNEL_H
#define BARGE_JSON_KERNEL_H

#include "parsers/json.h"

struct json_kernel {
    const char *name;
    bool (*usable)(void);
    enum json_result (*scan)(struct bytes text, struct json_member *m, size_t max, size_t *n,
                             bool *duplicate);
    bool (*scan_escaped)(struct bytes inside, char *to, struct json_keys_seen *seen,
                         struct json_member *m, size_t max, size_t *n, bool *duplicate);
    const char *(*line_end)(const char *p, const char *end, uint8_t *flags);
    /* One value at p of a text that json_scan accepted and that goes on behind the value: its end.
     */
    const char *(*value)(const char *p, const char *end, uint8_t *type, uint8_t *flags);
    const char *(*string_end)(const char *p, const char *end, uint8_t *flags);
    size_t (*unescape)(struct bytes s, char *to);
    size_t (*escape)(struct bytes s, char *to, bool *repaired);
    bool (*utf8_valid)(const char *p, size_t n);
};

extern const struct json_kernel json_kernel_swar;
#ifdef __x86_64__
extern const struct json_kernel json_kernel_sse2;
extern const struct json_kernel json_kernel_avx2;
#endif

/* ---- what the kernels share: small, or off the hot path (json.c) ---- */

#define JSON_INSIDE_DEPTH 16 /* what is deeper goes the slow way */

/* Beside the flags of a key: a blank that is a control character stands before its colon. */
#define JSON_CONTROL_BLANK 128

/* What a backslash and this character stand for, 0 when that is no escape. 'u' is left out. */
extern const char json_escapes[256];

/* The escape at p (a backslash): its end, or NULL when it is none within end. A surrogate without
 * its other half sets JSON_NEEDS_REWRITE. */
const char *json_escape_end(const char *p, const char *end, uint8_t *flags);

/* A number at p: its end, or NULL. The text goes on behind it. JSON_NEEDS_REWRITE when it does not
 * fit. */
const char *json_number_end(const char *p, const char *end, uint8_t *flags);

/* Whether s holds a control character. */
bool json_has_control(struct bytes s);

/* Whether two keys are the same once escapes are undone and broken bytes repaired. */
bool json_keys_same(struct bytes a, struct bytes b);

/* json_key_hash of what json_keys_same compares. */
uint32_t json_key_hash_decoded(struct bytes key);

/* Whether any two of the n keys are the same, in linear time whatever the keys are. n <=
 * JSON_MAX_MEMBERS. */
bool json_any_keys_same(const struct json_member *m, size_t n);

/* Whether a key cannot stay as it is inside an object: no path that Elasticsearch can resolve
 * (empty, blank, or with such a part between dots). */
bool json_key_unfit(struct bytes key);

/* Vectors of one byte each, where the compiler does not see what is in them: it would build a
 * constant anew at every use, in three instructions. */
struct json_filled {
    uint8_t quote[32], backslash[32], blank[32], digit_0[32], nine[32];
} __attribute__((aligned(32)));

extern const struct json_filled json_filled __attribute__((visibility("hidden")));

#define JSON_HASH_A 0x9e3779b97f4a7c15u
#define JSON_HASH_B 0xd6e8feb86659fd93u

static inline uint64_t json_hash_mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 x = (unsigned __int128)a * b;

    return (uint64_t)x ^ (uint64_t)(x >> 64);
}

/* One step of the key hash over 16 bytes of folded key, zeros behind its end. */
static inline uint64_t json_hash_step(uint64_t h, uint64_t a, uint64_t b)
{
    return json_hash_mix(a ^ JSON_HASH_A ^ h, b ^ JSON_HASH_B);
}

static inline bool json_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

#endif
