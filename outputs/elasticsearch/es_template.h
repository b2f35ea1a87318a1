/*
 * es_template: index templates as text: from the file under conf/ and what a node can do to the
 * body that it is sent; from what it holds to whether that is still what barge put there. Pure:
 * asks nobody. Any thread.
 */
#ifndef BARGE_ES_TEMPLATE_H
#define BARGE_ES_TEMPLATE_H

#include "agent/base/strbuf.h"
#include "outputs/elasticsearch/es_files.h"

#include <yajl/yajl_tree.h>

/* Rises with each change of the files under conf/elasticsearch: a node that holds a higher one is
 * another agent's, and newer. */
#define ES_TEMPLATE_VERSION 2

/* What a node takes. */
struct es_features {
    bool composable;          /* _index_template; else the legacy _template */
    bool match_only_text;     /* the field type */
    bool ignore_beyond_limit; /* total_fields.ignore_dynamic_beyond_limit */
    bool date_nanos;          /* … and Kibana knows what to do with it */
    bool doc_value_search;    /* numbers that are not indexed are found all the same */
};

/* What a version ("8.19.0") of Elasticsearch, or of OpenSearch, has. "" or no version: what all
 * that have composable templates have. */
struct es_features es_features_of(const char *version, bool opensearch);

/* One template as it is wanted. */
struct es_template {
    enum es_file file;
    const char *wildcard;  /* of the indices it is for */
    const char *lifecycle; /* name of the ILM policy to set; NULL: none */
    bool day_in_name;      /* with it: indices end in their day, from which age counts */
};

/* Adds the request body for a node with these features. *hash (17 bytes): of what counts in it. */
void es_template_body(const struct es_template *t, const struct es_features *f, struct strbuf *to,
                      char *hash);

enum es_template_state {
    ES_TEMPLATE_ABSENT,
    ES_TEMPLATE_SAME,    /* as we would put it */
    ES_TEMPLATE_OLD,     /* ours, as we put it once: to be replaced */
    ES_TEMPLATE_NEWER,   /* a newer barge's */
    ES_TEMPLATE_CHANGED, /* ours, changed by an operator */
    ES_TEMPLATE_FOREIGN, /* of our name, but not made by barge */
};

/* What the node's answer to GET _index_template/NAME or _template/NAME holds, against the hash of
 * the body that we would put. */
enum es_template_state es_template_judge(struct bytes answer, bool composable, const char *hash);

/* Names the templates in an answer to GET _index_template or _template (both forms at once is not
 * needed) that match index with our priority or a higher one, or any for legacy ones beside a
 * composable of ours, as "NAME (pattern, priority N), …". own: a name that does not count. */
void es_template_rivals(struct bytes answer, bool composable, bool any_priority, const char *index,
                        const char *own, struct strbuf *to);

#define ES_TEMPLATE_PRIORITY 150 /* as in the files */

/* ---- for other documents of the same kind ---- */

/* Parses a text that need not end in NUL. NULL: no JSON. Free with yajl_tree_free. */
yajl_val es_template_parse(struct bytes text);

/* What a document says, without regard to order, nesting or the kind of its scalars: lines
 * "path=value" in the order of bytes. */
void es_template_lines(yajl_val v, const char *prefix, struct strbuf *to);

#endif
