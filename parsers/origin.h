/*
 * origin: the parts of a document that are the same for every record of a container, as JSON text.
 * For document*.c; what others may do with an origin stands in document.h.
 */
#ifndef BARGE_ORIGIN_H
#define BARGE_ORIGIN_H

#include "parsers/document.h"

struct origin {
    struct bytes container;     /* `"id":"…","name":"…","image":{"name":"…"}`, or none */
    struct bytes host;          /* `,"host":{"name":"…"}`, or none: the agent's */
    struct bytes host_name;     /* inside of a string */
    struct bytes service_label; /* inside of a string, or none */
    struct bytes service_guess;
    struct bytes service_member; /* `,"service":{"name":"…"}` of label or guess, or none */
    const struct format *format; /* borrowed, or NULL */
    struct bytes file;           /* `"file":{"path":"…"}` of log, or none */
    struct bytes file_path;      /* inside of a string */
    struct bytes kubernetes;     /* `"namespace":"…","pod":{…},…`, or none */
    uint64_t serial;             /* of this origin alone, never 0 */
    struct bytes service;        /* raw bytes, as origin_service has it */
    struct tally *tally;         /* held, or NULL */
    size_t bytes;                /* of all the above */
    char *text;                  /* owned; what the slices point into */
};

#endif
