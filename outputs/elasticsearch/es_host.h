/*
 * es_host: the nodes, and bulk requests to them through libcurl's multi interface. Knows HTTP and
 * who may be asked now; knows nothing of what becomes of records.
 *
 * What all requests have in common is es_http's. A connection is used again only
 * after an answer that was perfect: so the late answer to one request can never be taken for that
 * to another. Delivery thread.
 */
#ifndef BARGE_ES_HOST_H
#define BARGE_ES_HOST_H

#include "outputs/elasticsearch/es_answer.h"
#include "outputs/elasticsearch/es_body.h"
#include "outputs/elasticsearch/es_breaker.h"
#include "outputs/elasticsearch/es_http.h"
#include "outputs/elasticsearch/es_limit.h"

#include <curl/curl.h>

struct es_batch;
struct es_hosts;

struct es_host {
    struct es_address at;
    char *url;        /* owned; of _bulk, with its query, without user and password */
    const char *name; /* of at: host:port, for logs and figures */
    struct es_breaker breaker;
    struct es_limit limit;
    double latency_ms; /* from the end of a body to its answer: moving average, for figures alone */
    unsigned in_flight;
    /* The caller's evidence on whose fault a failure is. Each host has its own: that another one
     * answers says nothing of what this one does. */
    uint64_t ok_number; /* among all hosts' answers that counted, of its last one; 0: none */
    unsigned alike;     /* single records that it refused whole, without an ok between */
    bool distrust;      /* it is the request, not the records */
};

/* One request. Made by es_hosts_send, read by its end function, gone when that returns. */
struct es_request {
    struct es_request *next, *next_free;
    struct es_hosts *hosts;
    struct es_host *host;
    struct es_batch *batch;     /* the caller's; NULL for a sample's */
    struct es_lane *lane;       /* the caller's: whose sample it is */
    CURL *easy;                 /* owned */
    struct curl_slist *headers; /* owned */
    char trouble[CURL_ERROR_SIZE];
    struct es_body
        *body; /* lent until the last byte is sent; then given back by hosts->body_done */
    struct strbuf packed; /* the compressed body */
    size_t packed_at;
    uint64_t body_bytes, sent_bytes;
    size_t items;

    /* what came of it */
    CURLcode result;
    long status; /* HTTP; 0: none */
    struct es_answer answer;
    bool counts;              /* status 200 and the answer is perfect */
    struct strbuf error_body; /* of other statuses, its beginning */
    uint64_t retry_after_ms;  /* capped; 0: not said */
    uint64_t begun_ms, body_sent_ms;
    uint64_t ok_begun; /* the host's ok_number when it was begun */
};

struct es_hosts {
    struct es_host *list; /* owned */
    size_t n;
    CURLM *multi; /* owned */
    const struct elasticsearch_settings *settings;
    struct es_credentials credentials;
    struct es_request *under_way, *free; /* owned */
    unsigned in_flight;
    uint64_t packed_bytes; /* compressed bodies that are held */
    z_stream deflate;
    struct es_random random;

    /* Whether the item of a batch has that `_id`. */
    es_answer_id_fn *id_is;
    /* Called from inside a transfer when the memory of its body is not needed any more. */
    void (*body_done)(void *arg, struct es_body *body);
    /* Called once for each request, from es_hosts_poll or es_hosts_abort. */
    void (*ended)(void *arg, struct es_request *r);
    void *arg;
};

/* Takes h zeroed but for id_is, body_done, ended, arg. Reads credentials. -1 with *e: a URL, a CA
 * file or a secret that cannot be used. */
int es_hosts_init(struct es_hosts *h, const struct elasticsearch_settings *settings,
                  struct error *e);
/* No request may be under way. */
void es_hosts_fini(struct es_hosts *h);

/* The host that may be asked now and has least to do; NULL: none, and then *due_ms says when the
 * passing of time will make one (UINT64_MAX: only the end of a request). probes: one that is to be
 * tried comes first; else none that is doubtful. */
struct es_host *es_hosts_pick(struct es_hosts *h, uint64_t now_ms, bool probes, uint64_t *due_ms);
/* Whether the last word of the host was no answer, or it has never answered. */
bool es_host_doubtful(const struct es_host *host);
/* Whether one of them is not. */
bool es_hosts_well(const struct es_hosts *h);

/* Sends a body, whose memory is lent until body_done. */
void es_hosts_send(struct es_hosts *h, struct es_host *host, struct es_body *body,
                   struct es_batch *batch, struct es_lane *lane, uint64_t now_ms);

/* Lets transfers run for at most wait_ms, or until es_hosts_wake; calls ended for those that did.
 */
void es_hosts_poll(struct es_hosts *h, uint64_t wait_ms);
/* Any thread. */
void es_hosts_wake(struct es_hosts *h);

/* Ends all requests; they are reported with CURLE_ABORTED_BY_CALLBACK. */
void es_hosts_abort(struct es_hosts *h);

/* The worst breaker, and all of them as "name state, …". */
enum es_breaker_state es_hosts_worst(const struct es_hosts *h, struct strbuf *text);

#endif
