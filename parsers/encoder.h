/*
 * encoder: what document.c (straight into the document) and document_tree.c (through a tree) share.
 * Not for others.
 */
#ifndef BARGE_ENCODER_H
#define BARGE_ENCODER_H

#include "agent/base/strbuf.h"
#include "parsers/fields.h"
#include "parsers/format.h"
#include "parsers/keys.h"
#include "parsers/level.h"
#include "parsers/origin.h"
#include "parsers/request_id.h"
#include "parsers/tree.h"

#define ENCODER_OURS 512        /* kept ready, by origin and stream */
#define ENCODER_ATTRS_MAX 16384 /* bytes of attrs; longer ones are rendered each time */
#define ENCODER_TIME_MAX 64
#define ENCODER_PAIRED 24 /* members of GELF whose names are compared one with the other */

/* What is the same from record to record of one container and stream. */
struct ours {
    struct strbuf attrs;  /* as they came */
    struct strbuf labels; /* `"NAME":"VALUE",…` */
    struct strbuf
        text; /* `,"container":{…},"kubernetes":{…},"host":{…},"stream":"…","event":{"sequence":` */
    uint64_t origin; /* serial */
    uint8_t stream;
    bool ready;
};

/* A stretch of the message, or one member, that goes into the document as it stands. */
struct run {
    const char *begin, *end;
    const struct json_member *apart; /* not NULL: the member, as begin and end are none */
};

struct encoder {
    struct keys *keys;
    struct fields *fields;        /* NULL: no rules */
    struct redact *redact;        /* NULL: nothing is redacted; not ours */
    size_t own_from, own_to;      /* of a document that was written straight, while redact is set:
                                     struct redact_own */
    size_t bound;                 /* what every document may have, whatever its record */
    struct strbuf host;           /* `,"host":{"name":"…"}` */
    struct strbuf host_name;      /* inside of a string */
    struct strbuf service;        /* inside of a string; empty: auto */
    struct strbuf service_member; /* `,"service":{"name":"…"}`, or empty */
    struct strbuf enriched;       /* `{"environment":"prod",…}` nested, or empty */
    struct strbuf enriched_tags;  /* `"a","b"`, or empty */
    bool enriched_meets_ours;     /* some of them lie in an object of ours: no fast path */
    struct format_work *format_work;
    struct tree *tree;
    struct json_member members[JSON_MAX_MEMBERS];
    struct json_member nested[JSON_MAX_MEMBERS];
    struct run runs[JSON_MAX_MEMBERS + ENCODER_PAIRED];
    struct ours ours[ENCODER_OURS];
    struct ours big_ours; /* the last with longer attrs than are kept */
    struct strbuf text;   /* the message unescaped, or repaired */
    struct strbuf spare;  /* a text on the way to it */
    struct strbuf ruled;  /* a record that the rules have changed */
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

/* Whether names of its members tell that a number is one of Python's levels. */
bool encoder_is_python(const struct record *r, const struct message *msg);

/* Ids in objects of the message (req, context, mdc, …). The slices point into the message. */
struct ids {
    struct bytes request, trace, span; /* insides of strings; none */
};

/* Looks into the object of m, which is known as key; fills what is still none. */
void encoder_find_ids(struct encoder *enc, const struct key *key, const struct json_member *m,
                      struct ids *ids);

/* What is kept ready for r, rendered when it is not; the encoder's, valid until the next call. */
const struct ours *encoder_ours(struct encoder *enc, const struct record *r);
void encoder_free_ours(struct ours *o);

/* The text of struct ours with these labels, for those that are not kept; room for
 * encoder_ours_bound is wanted. */
char *encoder_put_ours(const struct encoder *enc, const struct record *r, struct bytes labels,
                       char *to);
size_t encoder_ours_bound(const struct encoder *enc, const struct record *r, struct bytes labels);

/* container.labels.NAME of a key: '.' and '/' as '_'. In the tree's arena. */
struct bytes encoder_label_name(struct encoder *enc, const struct json_member *m);

/* m with a key in its one spelling and a value that needs no rewriting, in the tree's arena;
 * *repaired as json_rewrite has it. */
struct json_member encoder_clean(struct encoder *enc, struct json_member m, bool *repaired);

/* Whether an array holds no objects. */
bool encoder_is_flat(struct bytes array);

/* Length of what a record brings to a tree. */
size_t encoder_record_bytes(const struct record *r);

/* The document without the tree; 0 when that is not possible. */
size_t encoder_write_straight(struct encoder *enc, const struct record *r,
                              const struct message *msg, char *to);

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

extern const struct bytes encoder_tag_names[7]; /* of TAG_…, in the order of their bits */
struct bytes encoder_stream_name(uint8_t stream);
char *encoder_put_time(const struct record *r, char *to); /* at most ENCODER_TIME_MAX bytes */

#endif
