/*
 * document: writes one record as the JSON document of the contract: ECS names, nested objects each
 * once, no key twice.
 *
 * A record is what an input knows: slices, and the origin that it came from. An origin holds what
 * stays the same from record to record (container, host, service), rendered once. The document is
 * written once, in place.
 *
 * One encoder per thread.
 */
#ifndef BARGE_DOCUMENT_H
#define BARGE_DOCUMENT_H

#include "agent/base/base.h"
#include "agent/config/config.h"
#include "parsers/docker_line.h"
#include "parsers/json.h"

/* ---- origin: where records come from ---- */

struct origin;
struct format; /* format.h */

/* What is known of a container or sender; empty slices for what is not. Everything is copied but
 * the format. Raw bytes, not JSON. */
struct origin_facts {
    struct bytes container_id, container_name, image_name;
    struct bytes host_name;     /* overrides the agent's own (GELF senders that are not Docker) */
    struct bytes service_label; /* label barge.service: before all others */
    struct bytes service_guess; /* swarm, Kubernetes, compose label, container name without replica
                                   number, image: behind the record's own */
    struct bytes file_path;     /* log.file.path */
    struct {
        struct bytes namespace, pod, uid, container, node;
    } kubernetes;
    const struct format *format; /* how its messages are read, or NULL: JSON or text, as it comes;
                                    outlives the origin */
};

/* Owned by the caller; origin_free. Encoded records do not refer to it. */
struct origin *origin_create(const struct origin_facts *facts);
void origin_free(struct origin *o);

/* The service name that labels and names give (barge.service, else the guess): for index patterns;
 * never from a message. */
struct bytes origin_service(const struct origin *o);
/* What records of that service are counted in, or NULL; as long as the origin. */
struct tally *origin_tally(const struct origin *o);

/* Reads Docker's labels as facts->service_label and service_guess: barge.service;
 * com.docker.swarm.service.name, io.kubernetes.…, com.docker.compose.service; container name
 * without its replica number; image name without registry and tag. get looks a label up (none when
 * absent). The slices stay borrowed from what get returned, or from scratch. */
void origin_guess_service(struct origin_facts *facts,
                          struct bytes (*get)(void *arg, const char *label), void *arg);

/* ---- record ---- */

enum {
    TAG_TRUNCATED = 1,
    TAG_JSON_INVALID = 2, /* set by the encoder */
    TAG_DOCKER_LINE_INVALID = 4,
    TAG_UTF8_REPAIRED = 8, /* set by the encoder, or by inputs */
    TAG_GELF_JOINED = 16,
    TAG_PARSE_FAILED = 32, /* set by the encoder: not in the origin's format */
    TAG_CRI_LINE_INVALID = 64
};

enum text_form {
    TEXT_ESCAPED, /* the inside of a JSON string, validated by json_string_end */
    TEXT_RAW,     /* bytes */
    TEXT_LINE     /* bytes from which the line end was taken already */
};

struct record {
    const struct origin *origin;
    struct bytes text;  /* the message; none ({NULL, 0}): a record without text. One line end
                           (\n, \r or \r\n) that is still there is taken off */
    uint8_t text_form;  /* enum text_form */
    uint8_t text_flags; /* TEXT_ESCAPED: what json_string_end said of it */
    struct json_member *members; /* the message is one JSON object and was cut already: n_members
                                    of it, which may be changed; NULL: look into text */
    size_t n_members;
    bool members_duplicate; /* two of them have the same key */
    uint8_t stream;         /* enum stream */
    bool joined;            /* several lines of an event, the escape \n between them */
    int8_t severity;        /* syslog 0..7 for log.level when the message has none; -1 none */
    unsigned tags;          /* TAG_* */
    bool own_time;          /* what the message says of its time counts, where the origin's format
                               finds it: time_ns and time_text are set by the encoder then */
    int64_t time_ns;        /* valid instant */
    struct bytes time_text; /* RFC 3339 UTC text of time_ns with all its digits, or none: it is then
                               formatted */
    uint64_t sequence;      /* event.sequence */
    struct bytes attrs;     /* Docker's attrs object: container.labels */
    const struct json_member
        *extra; /* further members (GELF's), treated like the message's own; the message's win */
    size_t n_extra;
    bool extra_are_labels; /* Docker's GELF driver: scalars among them become container.labels.NAME
                            */
};

/* ---- encoder ---- */

struct encoder;

/* host_name: the agent's host. settings are read now and not kept. NULL with *e for a fields
 * section that cannot be (a rename onto a name of ours, an unknown convert type). */
struct encoder *encoder_create(const struct enrich_settings *settings, struct bytes host_name,
                               struct error *e);
void encoder_free(struct encoder *enc);

/* Every document goes through r from now on, which must last as long as the encoder. */
struct redact;
void encoder_redact(struct encoder *enc, struct redact *r);

/* An upper bound for the document of r. */
size_t encoder_bound(const struct encoder *enc, const struct record *r);

/* Writes the document of r to `to`, which has room for encoder_bound. Returns its length. Never
 * fails: what it cannot understand is shipped as text with a tag. No newline in it, valid JSON,
 * valid UTF-8. r->time_ns is set when r->own_time asks for it. */
size_t encoder_write(struct encoder *enc, struct record *r, char *to);

#endif
