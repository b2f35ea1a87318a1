/* file_output: the output of kind file; see outputs/output.h. */
#ifndef BARGE_FILE_OUTPUT_H
#define BARGE_FILE_OUTPUT_H

#include "agent/base/base.h"
#include "agent/base/strbuf.h"
#include "outputs/output.h"

extern const struct output_kind_ops output_file;

/* The path of the file that a record with this index goes to, under the configuration's pattern. */
void file_output_path(const char *pattern, struct bytes index, struct strbuf *to);

#endif
