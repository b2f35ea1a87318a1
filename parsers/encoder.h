/*
 * encoder: what document.c (straight into the document) and document_tree.c (through a tree) share.
 * Not for others.
 */
#ifndef BARGE_ENCODER_H
#define BARGE_ENCODER_H

#include "agent/base/strbuf.h"
#include "parsers/fields.h"
#include "parsers/keys.h"
#include "parsers/level.h"
#include "parsers/origin.h"
#include "parsers/request_id.h"
#include "parsers/tree.h"

#define LABEL_SLOTS 64
#define LABEL_CACHE_MAX 16384 /* bytes of attrs; longer ones are rendered each time */

/* Docker's attrs of one container, rendered. */
struct labels {
    struct strbuf attrs; /* as they came */
    struct strbuf text;  /* `"NAME":"VALUE",…` */
};

struct encoder {
    struct keys *keys;
    struct fields *fields;       /* NULL: no rules */
    struct strbuf host;          /* `,"host":{"name":"…"}` */
    struct strbuf host_name;     /* inside of a string */
    struct strbuf service;       /* inside of a string; empty: auto */
    struct strbuf enriched;      /* `{"environment":"prod",…}` nested, or empty */
    struct strbuf enriched_tags; /* `"a","b"`, or empty */
    bool enriched_meets_ours;    /* some of them lie in an object of ours: no fast path */
    struct tree *tree;
    struct json_member members[JSON_MAX_MEMBERS];
    struct json_member nested[JSON_MAX_MEMBERS];
    struct labels labels[LABEL_SLOTS];
    struct labels long_labels;
    struct strbuf text;  /* the message unescaped, or repaired */
    struct strbuf spare; /* a text on the way to it */
    struct strbuf ruled; /* a record that the rules have changed */
};

/* The message of a record: text or members. */
struct message {
    struct bytes text; /* when n is 0: the inside of a JSON string, in need of nothing */
    struct json_member *members;
    size_t n;
    bool duplicate; /* two members have the same name */
    bool ruled;     /* the rules were applied: r->extra is among the members */
    unsigned tags;  /* of the record, and found on the way */
};

/* Something that one member of the message says. */
struct taken {
    struct bytes inside; /* inside of a JSON string */
    uint8_t level;       /* TARGET_LEVEL: enum level */
    bool lossless;
    bool number;
};

/* Whether m can be what key says, and as what. m: type and value; no NEEDS_REWRITE. */
bool encoder_take(const struct key *key, const struct json_member *m, bool python,
                  struct taken *out);

/* Whether names of m[0..n) tell that a number is one of Python's levels. */
bool encoder_is_python(const struct json_member *m, size_t n);

/* Ids in objects of the message (req, context, mdc, …). The slices point into the message. */
struct ids {
    struct bytes request, trace, span; /* insides of strings; none */
};

/* Looks into the object of m, which is known as key; fills what is still none. */
void encoder_find_ids(struct encoder *enc, const struct key *key, const struct json_member *m,
                      struct ids *ids);

/* `"NAME":"VALUE",…` of Docker's attrs, cached; valid until the next call. */
struct bytes encoder_labels(struct encoder *enc, const struct record *r);

/* container.labels.NAME of a key: '.' and '/' as '_'. In the tree's arena. */
struct bytes encoder_label_name(struct encoder *enc, const struct json_member *m);

/* m with a key in its one spelling and a value that needs no rewriting, in the tree's arena;
 * *repaired as json_rewrite has it. */
struct json_member encoder_clean(struct encoder *enc, struct json_member m, bool *repaired);

/* Whether an array holds no objects. */
bool encoder_is_flat(struct bytes array);

/* The document through the tree. limit: the most that may be written. */
size_t encoder_write_tree(struct encoder *enc, const struct record *r, struct message *msg,
                          char *to, size_t limit);

/* Reads the record as text, whatever it holds. */
void encoder_read_text(struct encoder *enc, const struct record *r, struct message *msg);

/* The level of a record whose message has none. message: the name that the message text had, or
 * NULL. */
enum level encoder_default_level(const struct record *r, const struct key *message);

/* service.name, as the inside of a string; own: what the record calls its service. */
struct bytes encoder_service(const struct encoder *enc, const struct record *r, struct bytes own);

/* The text of ours. */
extern const struct bytes encoder_tag_names[5];
struct bytes encoder_stream_name(uint8_t stream);
size_t encoder_time(const struct record *r, char *to);
size_t encoder_decimal(uint64_t v, char to[20]);

#endif
