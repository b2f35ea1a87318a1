/*
 * output: what every output is to the agent: something that takes records from the buffer in a
 * thread of its own, and moves the buffer's frontier over what it has finished. Outputs know
 * documents, not where they came from.
 */
#ifndef BARGE_OUTPUT_H
#define BARGE_OUTPUT_H

#include "agent/base/base.h"
#include "agent/buffer/buffer.h"
#include "agent/config/config.h"

/* Own figures, for an output that can index them. */
struct output_figures {
    void (*fill)(void *arg); /* brings base/metrics up to date; any thread */
    void *arg;
    const char *host; /* our own name, as in the documents; outlives the output */
};

struct output_options {
    const struct config *config; /* outlives the output; the output reads config->elasticsearch or
                                    ->file, ->dead_letters, ->data_dir, ->setup, ->retention,
                                    ->self_index */
    struct buffer *buffer;       /* outlives the output; the output is its reader */
    const struct output_figures *figures; /* outlives the output; NULL: none to be had */
};

/* One kind of output. */
struct output_kind_ops {
    const char *name; /* as in the configuration */

    /* Makes an output, reads what it needs from disk, starts its thread. NULL with *e when it
     * cannot work at all (bad CA file, folder that cannot be made); a node that does not answer is
     * no such reason. */
    void *(*start)(const struct output_options *o, struct error *e);

    /* There is more to read, or time to stop. Any thread, also while another thread is in stop;
     * cheap. */
    void (*wake)(void *output);

    /* Hands over what can be handed over within timeout_ms (the intake has stopped; returns earlier
     * when the buffer is empty), stops the thread, gives everything back. What is not finished
     * stays in the buffer. */
    void (*stop)(void *output, uint64_t timeout_ms);

    /* Credentials and certificates are read again (SIGHUP). May be NULL. */
    void (*reload)(void *output);
};

/* The table of all kinds, by enum output_kind. */
extern const struct output_kind_ops *const output_kinds[];

/* `_id`: 18 bytes as 24 characters of -0-9A-Z_a-z, an alphabet that sorts as the bytes do. Not
 * NUL-terminated. */
#define OUTPUT_ID_CHARS 24
void output_id_text(const uint8_t id[BUFFER_ID_BYTES], char to[OUTPUT_ID_CHARS]);
/* The way back. false when text is not 24 such characters. */
bool output_id_parse(struct bytes text, uint8_t id[BUFFER_ID_BYTES]);

#endif
