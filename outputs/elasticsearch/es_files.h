/*
 * es_files: files of conf/ that barge puts into a node or into Kibana, as they stand there: what an
 * operator reads is what is installed. Any thread.
 */
#ifndef BARGE_ES_FILES_H
#define BARGE_ES_FILES_H

#include "agent/base/base.h"

enum es_file {
    ES_FILE_TEMPLATE,         /* conf/elasticsearch/index-template.json */
    ES_FILE_FIGURES_TEMPLATE, /* conf/elasticsearch/figures-template.json */
    ES_FILE_ILM,              /* conf/elasticsearch/ilm.json */
    ES_FILE_ISM,              /* conf/elasticsearch/ism.json */
    ES_FILE_KIBANA_7,         /* conf/kibana/kibana-7.10.ndjson */
    ES_FILE_KIBANA_8,         /* conf/kibana/kibana-8.ndjson */
};

/* The whole file; a NUL stands behind it. */
struct bytes es_file(enum es_file which);

#endif
