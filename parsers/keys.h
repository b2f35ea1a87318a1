/*
 * keys: what the names in a message mean. One table says which member is the message, the level,
 * the request id and so on, which names are ours or Elasticsearch's, and which are objects in the
 * Elastic Common Schema. parsers/README.md tells how to add one.
 *
 * Built once for an encoder, read-only afterwards.
 */
#ifndef BARGE_KEYS_H
#define BARGE_KEYS_H

#include "agent/base/base.h"
#include "parsers/json.h"

/* A place in the document that one member of a message fills. */
enum key_target {
    TARGET_NONE,
    TARGET_MESSAGE,
    TARGET_LEVEL,
    TARGET_REQUEST_ID,
    TARGET_TRACE_ID,
    TARGET_SPAN_ID,
    TARGET_SERVICE,
    TARGET_ERROR_MESSAGE,
    TARGET_ERROR_TYPE,
    TARGET_ERROR_STACK,
    TARGET_TRACEPARENT, /* names trace and span at once; stays where it is */
    TARGET_COUNT
};

/* What a name is at the top of a document, when it is spelled exactly so. */
enum key_role {
    ROLE_NONE,
    ROLE_RESERVED, /* ours, or Elasticsearch's: the message's moves to app.NAME */
    ROLE_TEXT,     /* `message`: holds text and nothing else */
    ROLE_TAGS,     /* `tags`: a list of words, ours among them */
    ROLE_OBJECT,   /* an object: a scalar goes to a leaf of it */
    ROLE_ENRICHED  /* enrich.fields sets something there */
};

/* What an object under this name holds. */
enum key_holds {
    HOLDS_NOTHING,
    HOLDS_OURS,    /* the document has an object of that name as well: the two are merged */
    HOLDS_ERROR,   /* an error under another name: its members belong to `error` */
    HOLDS_CONTEXT, /* request, trace and span ids are looked for in it and copied */
    HOLDS_FIELDS   /* the same, and the message itself */
};

struct key {
    const char *name;
    uint8_t exact;  /* 1: only this spelling; 0: `target` and `holds` in any case and with _ - .
                       anywhere */
    uint8_t target; /* enum key_target */
    uint8_t rank;   /* among members for the same target the lowest wins */
    uint8_t role;   /* enum key_role */
    uint8_t holds;  /* enum key_holds */
    const char *text_leaf;   /* ROLE_OBJECT: where a string goes; NULL: "value" */
    const char *number_leaf; /* ROLE_OBJECT: where a number goes; NULL: "value" */
};

struct key_entry {
    struct key key;
    uint32_t hash;
    uint16_t name_n;
    uint16_t next; /* 1 + index of another entry with this hash; 0 none */
};

#define KEYS_SLOTS                                                                                 \
    1024 /* a power of two, several times the names: most unknown ones miss at once */

struct keys {
    uint16_t slot[KEYS_SLOTS]; /* 1 + index into entries; 0: no name has a hash like this */
    struct key_entry *entries;
    size_t n;
    char **owned; /* names of the configuration */
    size_t n_owned;
};

/* request_id_keys: ends with NULL, tried before the built-in ones. enriched: n top-level names that
 * enrich.fields sets. Everything is copied. */
struct keys *keys_create(char *const *request_id_keys, const struct bytes *enriched, size_t n);
void keys_free(struct keys *k);

static inline size_t keys_slot(uint32_t hash)
{
    return (hash * 0x9E3779B1u) >> 22;
}

/* Whether anything may be known of a name with this hash: the quick no for most members. */
static inline bool keys_may_know(const struct keys *k, uint32_t hash)
{
    return k->slot[keys_slot(hash)] != 0;
}

struct key_match {
    const struct key *key; /* NULL: nothing is known of the name */
    bool exact;            /* spelled as in the table: its role counts */
};

/* key: without escapes. hash: json_key_hash(key). */
struct key_match keys_find(const struct keys *k, struct bytes key, uint32_t hash);

/* The same for the hot path: a known name in the table's spelling needs no call. */
static inline struct key_match keys_find_fast(const struct keys *k, struct bytes key, uint32_t hash)
{
    const struct key_entry *e = &k->entries[k->slot[keys_slot(hash)] - 1];

    if (LIKELY(e->hash == hash && e->name_n == key.n && key.n >= 4 && key.n <= 16)) {
        uint64_t a, b, c, d;

        if (key.n >= 8) {
            memcpy(&a, key.p, 8);
            memcpy(&b, key.p + key.n - 8, 8);
            memcpy(&c, e->key.name, 8);
            memcpy(&d, e->key.name + key.n - 8, 8);
        } else {
            uint32_t half[4];

            memcpy(&half[0], key.p, 4);
            memcpy(&half[1], key.p + key.n - 4, 4);
            memcpy(&half[2], e->key.name, 4);
            memcpy(&half[3], e->key.name + key.n - 4, 4);
            a = half[0];
            b = half[1];
            c = half[2];
            d = half[3];
        }
        if (a == c && b == d)
            return (struct key_match){&e->key, true};
    }
    return keys_find(k, key, hash);
}

/* Whether key is one letter, as zap's development logger has them: they mean something only
 * together. */
static inline bool key_is_letter(const struct key *key)
{
    return key->exact && key->name[1] == '\0';
}

/* Whether key names a level and nothing else could be meant (severity may be a business's own). */
static inline bool key_is_level(const struct key *key)
{
    return key->target == TARGET_LEVEL && (key->rank <= 3 || key_is_letter(key));
}

/* A name inside an object that holds an error: TARGET_ERROR_… or TARGET_NONE. */
enum key_target keys_find_in_error(struct bytes key);

#endif
