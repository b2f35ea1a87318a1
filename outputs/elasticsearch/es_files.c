#include "outputs/elasticsearch/es_files.h"

/* The assembler takes the file in, found from the top of the repository, where the compiler runs.
 * The Makefile knows that this object depends on them. */
#define TAKE_IN(name, path)                                                                        \
    __asm__(".pushsection .rodata\n"                                                               \
            ".balign 16\n"                                                                         \
            "es_files_" #name ": .incbin \"" path "\"\n"                                           \
            "es_files_" #name "_end: .byte 0\n"                                                    \
            ".popsection\n");                                                                      \
    extern const char es_files_##name[], es_files_##name##_end[]

TAKE_IN(template, "conf/elasticsearch/index-template.json");
TAKE_IN(figures_template, "conf/elasticsearch/figures-template.json");
TAKE_IN(ilm, "conf/elasticsearch/ilm.json");
TAKE_IN(ism, "conf/elasticsearch/ism.json");
TAKE_IN(kibana_7, "conf/kibana/kibana-7.10.ndjson");
TAKE_IN(kibana_8, "conf/kibana/kibana-8.ndjson");

struct bytes es_file(enum es_file which)
{
    static const char *const begin[] = {
        [ES_FILE_TEMPLATE] = es_files_template,
        [ES_FILE_FIGURES_TEMPLATE] = es_files_figures_template,
        [ES_FILE_ILM] = es_files_ilm,
        [ES_FILE_ISM] = es_files_ism,
        [ES_FILE_KIBANA_7] = es_files_kibana_7,
        [ES_FILE_KIBANA_8] = es_files_kibana_8,
    };
    static const char *const end[] = {
        [ES_FILE_TEMPLATE] = es_files_template_end,
        [ES_FILE_FIGURES_TEMPLATE] = es_files_figures_template_end,
        [ES_FILE_ILM] = es_files_ilm_end,
        [ES_FILE_ISM] = es_files_ism_end,
        [ES_FILE_KIBANA_7] = es_files_kibana_7_end,
        [ES_FILE_KIBANA_8] = es_files_kibana_8_end,
    };

    ASSERT((size_t)which < ARRAY_LEN(begin));
    return bytes_of(begin[which], (size_t)(end[which] - begin[which]));
}
