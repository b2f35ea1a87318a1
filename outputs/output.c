#include "outputs/output.h"

extern const struct output_kind_ops output_elasticsearch;
extern const struct output_kind_ops output_file;

const struct output_kind_ops *const output_kinds[] = {
    [OUTPUT_ELASTICSEARCH] = &output_elasticsearch,
    [OUTPUT_FILE] = &output_file,
};
