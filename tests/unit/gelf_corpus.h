/*
 * The captures of real GELF senders under tests/corpus, for the tests of the GELF modules: each
 * folder holds the datagrams (NNNNNN.bin, in order from 1) and decoded.jsonl, what an independent
 * reader made of them: {"seqs": [1, 2], "msg": {…}} a line.
 */
#ifndef BARGE_TEST_GELF_CORPUS_H
#define BARGE_TEST_GELF_CORPUS_H

#include "agent/base/base.h"
#include "agent/base/strbuf.h"
#include "tests/unit/files.h"

#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_tree.h>

#define CORPUS "tests/corpus/"

static inline yajl_val corpus_json(struct bytes text)
{
    char why[200], *copy = base_strndup(text.p, text.n);
    yajl_val v = yajl_tree_parse(copy, why, sizeof why);

    free(copy);
    return v;
}

static inline yajl_val corpus_member(yajl_val object, const char *name)
{
    const char *path[] = {name, NULL};

    return yajl_tree_get(object, path, yajl_t_any);
}

/* Equal but for the folder of the recording scripts, which the decoded side calls /corpus. */
static inline bool corpus_same_text(const char *sent, const char *decoded)
{
    static const char folder[] = "/tmp/dockercorpus";

    for (;; sent++, decoded++) {
        if (strncmp(sent, folder, strlen(folder)) == 0 && strncmp(decoded, "/corpus", 7) == 0) {
            sent += strlen(folder);
            decoded += 7;
        }
        if (*sent != *decoded)
            return false;
        if (!*sent)
            return true;
    }
}

/* Deep equality of what was sent and what was decoded; numbers by value. */
static inline bool corpus_equal(yajl_val a, yajl_val b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case yajl_t_string:
        return corpus_same_text(YAJL_GET_STRING(a), YAJL_GET_STRING(b));
    case yajl_t_number:
        return strtod(YAJL_GET_NUMBER(a), NULL) == strtod(YAJL_GET_NUMBER(b), NULL);
    case yajl_t_object:
        if (a->u.object.len != b->u.object.len)
            return false;
        for (size_t i = 0; i < a->u.object.len; i++) {
            yajl_val other = corpus_member(b, a->u.object.keys[i]);

            if (!other || !corpus_equal(a->u.object.values[i], other))
                return false;
        }
        return true;
    case yajl_t_array:
        if (a->u.array.len != b->u.array.len)
            return false;
        for (size_t i = 0; i < a->u.array.len; i++)
            if (!corpus_equal(a->u.array.values[i], b->u.array.values[i]))
                return false;
        return true;
    default:
        return true;
    }
}

struct corpus_capture {
    char name[300];
    struct strbuf *datagram;
    size_t n_datagrams;
    yajl_val *decoded; /* the lines of decoded.jsonl */
    size_t n_decoded;
};

static inline void corpus_load(struct corpus_capture *c, const char *folder)
{
    char path[400];
    struct strbuf lines;
    glob_t found;

    snprintf(c->name, sizeof c->name, "%s", folder);
    snprintf(path, sizeof path, "%s/*.bin", folder);
    if (glob(path, 0, NULL, &found) != 0)
        base_die("no datagrams in %s", folder);
    c->n_datagrams = found.gl_pathc;
    c->datagram = base_calloc(c->n_datagrams, sizeof *c->datagram);
    for (size_t i = 0; i < c->n_datagrams; i++)
        c->datagram[i] = files_read(found.gl_pathv[i]);
    globfree(&found);
    snprintf(path, sizeof path, "%s/decoded.jsonl", folder);
    lines = files_read(path);
    c->n_decoded = 0;
    c->decoded = base_calloc(lines.n + 1, sizeof *c->decoded);
    for (char *p = lines.p, *end; (end = memchr(p, '\n', (size_t)(lines.p + lines.n - p)));
         p = end + 1) {
        yajl_val v = corpus_json(bytes_of(p, (size_t)(end - p)));
        yajl_val seqs = corpus_member(v, "seqs");

        /* Of a long capture only the first datagrams are kept. */
        if ((size_t)YAJL_GET_INTEGER(seqs->u.array.values[seqs->u.array.len - 1]) <= c->n_datagrams)
            c->decoded[c->n_decoded++] = v;
        else
            yajl_tree_free(v);
    }
    strbuf_fini(&lines);
}

static inline void corpus_unload(struct corpus_capture *c)
{
    for (size_t i = 0; i < c->n_datagrams; i++)
        strbuf_fini(&c->datagram[i]);
    for (size_t i = 0; i < c->n_decoded; i++)
        yajl_tree_free(c->decoded[i]);
    free(c->datagram);
    free(c->decoded);
}

/* Calls fn for every capture of datagrams; returns how many there are. */
static inline size_t corpus_each(void (*fn)(const struct corpus_capture *c, void *arg), void *arg)
{
    static const char *const pattern[] = {CORPUS "docker26/gelf/udp/*/decoded.jsonl",
                                          CORPUS "gelf-npm/*/decoded.jsonl"};
    size_t n = 0;

    for (size_t k = 0; k < ARRAY_LEN(pattern); k++) {
        glob_t found;

        if (glob(pattern[k], 0, NULL, &found) != 0)
            base_die("nothing matches %s: run the tests from the top of the repository",
                     pattern[k]);
        for (size_t i = 0; i < found.gl_pathc; i++, n++) {
            struct corpus_capture c;

            *strrchr(found.gl_pathv[i], '/') = '\0';
            corpus_load(&c, found.gl_pathv[i]);
            fn(&c, arg);
            corpus_unload(&c);
        }
        globfree(&found);
    }
    return n;
}

#endif
