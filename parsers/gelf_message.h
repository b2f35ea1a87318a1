/*
 * gelf_message: one GELF message (1.0 and 1.1; inflated, joined, one JSON object) into slices of
 * itself. A pure function of its input; any thread. https://go2docs.graylog.org "GELF Format";
 * protocols.md of the field's facts.
 */
#ifndef BARGE_GELF_MESSAGE_H
#define BARGE_GELF_MESSAGE_H

#include "agent/base/base.h"
#include "parsers/json.h"

struct gelf_message {
    struct bytes host;          /* inside of the string, or none */
    struct bytes short_message; /* inside of the string; from "message" when short_message is
                                   missing or blank */
    struct bytes full_message;  /* inside of the string, or none */
    struct bytes timestamp;     /* number text, or the inside of a numeric string, or none */
    int level;                  /* 0..7, -1 when absent or senseless */
    bool from_docker; /* has what Docker's driver always sends: _container_id, _container_name,
                         _image_id, _created, _command */
    struct bytes container_id, container_name, image_name, tag; /* insides of strings, or none */
    /* Everything else, one leading underscore of the key taken off, nulls left out. For
     * from_docker: without _command, _created, _image_id and what is named above. */
    struct json_member *extra; /* the caller's array */
    size_t n_extra;
};

/* members: room for max members, used for scanning and then as out->extra. false when text is no
 * JSON object or carries neither message nor any field worth keeping. Text behind the object is
 * ignored. */
bool gelf_message_parse(struct bytes text, struct json_member *members, size_t max,
                        struct gelf_message *out);

#endif
