/*
 * trace_records: the records of one request, as they come from wherever they are kept: each once,
 * in the order in which they happened. Owned by the thread that traces.
 */
#ifndef BARGE_TRACE_RECORDS_H
#define BARGE_TRACE_RECORDS_H

#include "agent/base/base.h"

#define TRACE_MAX_RECORDS 200000u      /* of one call; beyond it, and beyond … */
#define TRACE_MAX_BYTES (512ull << 20) /* … these bytes of documents, records are left out */
#define TRACE_NO_TIME INT64_MIN

struct trace_record {
    struct bytes json; /* the document as it is kept, owned */
    struct bytes key;  /* by which it is known again, owned */
    int64_t time_ns;   /* since 1970; TRACE_NO_TIME when it has none that can be read */
    char *source;      /* whose event.sequence it is: its container's id, or "" */
    uint64_t sequence; /* event.sequence */
    size_t id;         /* which of the ids it has, the first of several */
    bool shown;        /* for whoever shows them */
};

struct trace_records {
    struct trace_record **list; /* owned */
    size_t n, cap;
    uint64_t bytes;
    bool full;                   /* some were left out */
    struct trace_record **slots; /* by key, open addressing */
    size_t n_slots;
    uint64_t seed;
    char *const *ids; /* request or trace ids */
    size_t n_ids;
    int64_t since_ns;
};

/* ids are borrowed. What happened before since_ns is not taken; what has no time that can be read
 * is. */
void trace_records_init(struct trace_records *r, char *const *ids, size_t n_ids, int64_t since_ns);
void trace_records_fini(struct trace_records *r);

enum trace_taken {
    TRACE_TAKEN,
    TRACE_KNOWN,  /* its key is there already */
    TRACE_OTHERS, /* none of the ids is its http.request.id or trace.id, it is too old, or no JSON
                     object */
    TRACE_FULL    /* left out */
};

/* Takes a copy of json and key. An empty key: the document itself is the key. */
enum trace_taken trace_records_add(struct trace_records *r, struct bytes json, struct bytes key);

/* Puts the list in order: by all nine digits of the time, then source by source by sequence. */
void trace_records_sort(struct trace_records *r);

/* The value at a dotted path of a document's yajl tree, however it is nested or dotted; NULL when
 * it is not there. */
struct yajl_val_s *trace_records_field(struct yajl_val_s *document, const char *path);

/* Its text, when it is a string or a number, as it is written; else none. */
struct bytes trace_records_text(struct yajl_val_s *value);

#endif
