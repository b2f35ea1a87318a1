#include "agent/base/strbuf.h"
#include "agent/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MS_PER_DAY 86400000ull

static struct config *parse_ok(const char *yaml)
{
    struct config_problems p;
    struct config *c = config_parse(bytes_str(yaml), &p);

    for (size_t i = 0; i < p.n; i++)
        print_message("%u:%u: %s\n", p.list[i].line, p.list[i].column, p.list[i].text);
    assert_non_null(c);
    assert_int_equal(p.n, 0);
    config_problems_fini(&p);
    return c;
}

/* The numbers of the contract's text, worked out by hand. */
static void check_defaults(const struct config *c)
{
    assert_string_equal(c->data_dir, "/var/lib/barge");
    assert_int_equal(c->shutdown_timeout_ms, 10000);
    assert_true(c->docker.enabled);
    assert_string_equal(c->docker.containers, "auto");
    assert_int_equal(c->docker.start_ms, 0);
    assert_null(c->docker.exclude[0]);
    assert_true(c->kubernetes.enabled);
    assert_string_equal(c->kubernetes.pods, "/var/log/pods");
    assert_null(c->kubernetes.exclude[0]);
    assert_int_equal(c->docker.max_held_bytes, 1073741824);
    assert_string_equal(c->gelf.udp, "127.0.0.1:12201");
    assert_string_equal(c->gelf.tcp, "");
    assert_int_equal(c->gelf.tcp_when_full_ms, 2000);
    assert_int_equal(c->gelf.receive_buffer_bytes, 8388608);
    assert_int_equal(c->gelf.max_message_bytes, 8388608);
    assert_int_equal(c->gelf.max_pending_bytes, 33554432);
    assert_string_equal(c->enrich.service, "auto");
    assert_string_equal(c->enrich.host, "auto");
    assert_null(c->enrich.fields[0].name);
    assert_int_equal(c->buffer.max_bytes, 1073741824);
    assert_int_equal(c->buffer.min_free_bytes, 0);
    assert_float_equal(c->buffer.min_free_share, 0.1, 1e-9);
    assert_false(c->buffer.sync_off);
    assert_int_equal(c->buffer.sync_ms, 200);
    assert_float_equal(c->buffer.gelf_reserve_share, 0.2, 1e-9);
    assert_float_equal(c->buffer.gelf_max_share, 0.5, 1e-9);
    assert_int_equal(c->dead_letters.max_bytes, 268435456);
    assert_int_equal(c->dead_letters.max_age_ms, 30 * MS_PER_DAY);
    assert_int_equal(c->output_kind, OUTPUT_ELASTICSEARCH);
    assert_string_equal(c->elasticsearch.hosts[0], "http://localhost:9200");
    assert_null(c->elasticsearch.hosts[1]);
    assert_string_equal(c->elasticsearch.index, "microservices-%{+YYYY.MM.dd}");
    assert_int_equal(c->elasticsearch.index_window_ms, 7 * MS_PER_DAY);
    assert_int_equal(c->elasticsearch.park_after_ms, 900000);
    assert_true(c->elasticsearch.tls.verify);
    assert_true(c->elasticsearch.gzip);
    assert_int_equal(c->elasticsearch.batch_bytes, 1048576);
    assert_int_equal(c->elasticsearch.batch_delay_ms, 200);
    assert_int_equal(c->elasticsearch.max_in_flight, 8);
    assert_int_equal(c->elasticsearch.timeout_ms, 60000);
    assert_string_equal(c->file.path, "out/microservices-%{+YYYY.MM.dd}.ndjson");
    assert_string_equal(c->status_listen, "127.0.0.1:9280");
    assert_int_equal(c->log_level, LOG_INFO);
    assert_int_equal(c->log_format, LOG_LOGFMT);
}

static void empty_files_are_the_defaults(void **state)
{
    static const char *const empty[] = {
        "",          "\n\n", "# nothing\n",  "---\n",
        "buffer:\n", "{}",   "\xef\xbb\xbf", "output: {elasticsearch: }\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
        struct config *c = parse_ok(empty[i]);

        check_defaults(c);
        config_free(c);
    }
}

static void values_arrive(void **state)
{
    struct config *c;

    (void)state;
    c = parse_ok("inputs:\n"
                 "  docker: {start: 24h, exclude: [a*, 'x=y'], max_held: 1GB}\n"
                 "  gelf: {udp: '[::1]:12201', tcp: 0.0.0.0:0}\n"
                 "buffer: {max_size: 64mib, min_free: 3GiB, sync: 0}\n"
                 "output:\n"
                 "  elasticsearch:\n"
                 "    hosts: ['https://u:secret@a:9200/es', http://b]\n"
                 "    index: logs-%{service.name}-%{+YYYY.MM}\n"
                 "    index_window: 0\n"
                 "    compression: none\n"
                 "    tls: {verify: no}\n"
                 "status: {listen: ''}\n"
                 "log: {level: error, format: json}\n");
    assert_int_equal(c->docker.start_ms, MS_PER_DAY);
    assert_string_equal(c->docker.exclude[0], "a*");
    assert_string_equal(c->docker.exclude[1], "x=y");
    assert_null(c->docker.exclude[2]);
    assert_int_equal(c->docker.max_held_bytes, 1000000000);
    assert_string_equal(c->gelf.udp, "[::1]:12201");
    assert_string_equal(c->gelf.tcp, "0.0.0.0:0");
    assert_int_equal(c->buffer.max_bytes, 67108864);
    assert_int_equal(c->buffer.min_free_bytes, 3221225472);
    assert_float_equal(c->buffer.min_free_share, 0, 0);
    assert_int_equal(c->buffer.sync_ms, 0);
    assert_false(c->buffer.sync_off);
    assert_string_equal(c->elasticsearch.hosts[0], "https://u:secret@a:9200/es");
    assert_string_equal(c->elasticsearch.hosts[1], "http://b");
    assert_int_equal(c->elasticsearch.index_window_ms, 0);
    assert_false(c->elasticsearch.gzip);
    assert_false(c->elasticsearch.tls.verify);
    assert_string_equal(c->status_listen, "");
    assert_int_equal(c->log_level, LOG_ERROR);
    assert_int_equal(c->log_format, LOG_JSON);
    config_free(c);

    c = parse_ok("inputs: {docker: off, gelf: off}\nbuffer: {sync: off}\noutput: {file: }\n");
    assert_false(c->docker.enabled);
    assert_string_equal(c->gelf.udp, "");
    assert_string_equal(c->gelf.tcp, "");
    assert_true(c->buffer.sync_off);
    assert_int_equal(c->output_kind, OUTPUT_FILE);
    config_free(c);

    c = parse_ok("inputs: {kubernetes: off}\n");
    assert_false(c->kubernetes.enabled);
    config_free(c);
    c = parse_ok("inputs: {kubernetes: {pods: /other, exclude: [kube-system/*]}}\n");
    assert_true(c->kubernetes.enabled);
    assert_string_equal(c->kubernetes.pods, "/other");
    assert_string_equal(c->kubernetes.exclude[0], "kube-system/*");
    assert_null(c->kubernetes.exclude[1]);
    config_free(c);
    c = parse_ok("inputs: {docker: {start: end}}\n");
    assert_true(c->docker.start_ms == UINT64_MAX);
    config_free(c);
}

static void assert_pair(const struct field_pair *p, const char *name, const char *value)
{
    assert_string_equal(p->name, name);
    assert_string_equal(p->value, value);
}

static void fields_become_json(void **state)
{
    struct config *c;

    (void)state;
    setenv("BARGE_TEST_NUMBER", "42", 1);
    c = parse_ok("enrich:\n"
                 "  request_id_keys: [rid, ctx.rid]\n"
                 "  fields:\n"
                 "    environment: prod\n"
                 "    shard: 7\n"
                 "    version: '7'\n"
                 "    build: ${BARGE_TEST_NUMBER}\n"
                 "    zip: 0123\n"
                 "    live: true\n"
                 "    nothing: null\n"
                 "    labels: {team: \"a \\\"b\\\"\", n: -1.5e3}\n"
                 "    list: [1, two]\n"
                 "fields:\n"
                 "  add: {k: v}\n"
                 "  rename: {old: new.name}\n"
                 "  remove: [password]\n"
                 "  convert: {ms: double}\n");
    assert_string_equal(c->enrich.request_id_keys[0], "rid");
    assert_string_equal(c->enrich.request_id_keys[1], "ctx.rid");
    assert_pair(&c->enrich.fields[0], "environment", "\"prod\"");
    assert_pair(&c->enrich.fields[1], "shard", "7");
    assert_pair(&c->enrich.fields[2], "version", "\"7\"");
    assert_pair(&c->enrich.fields[3], "build", "\"42\"");
    assert_pair(&c->enrich.fields[4], "zip", "\"0123\"");
    assert_pair(&c->enrich.fields[5], "live", "true");
    assert_pair(&c->enrich.fields[6], "nothing", "null");
    assert_pair(&c->enrich.fields[7], "labels.team", "\"a \\\"b\\\"\"");
    assert_pair(&c->enrich.fields[8], "labels.n", "-1.5e3");
    assert_pair(&c->enrich.fields[9], "list", "[1,\"two\"]");
    assert_null(c->enrich.fields[10].name);
    assert_pair(&c->enrich.add[0], "k", "\"v\"");
    assert_pair(&c->enrich.rename[0], "old", "new.name");
    assert_string_equal(c->enrich.remove[0], "password");
    assert_pair(&c->enrich.convert[0], "ms", "double");
    config_free(c);
}

static void lists_of_maps_become_structs(void **state)
{
    struct config *c = parse_ok("parsers:\n"
                                "  - {container: 'shop-*', parser: json}\n"
                                "  - image: mysql:*\n"
                                "    label: team=*\n"
                                "    parser: text\n");
    struct parser_rule *const *r = c->parsers;
    struct config_problems p;

    (void)state;
    assert_string_equal(r[0]->container, "shop-*");
    assert_string_equal(r[0]->image, "");
    assert_string_equal(r[0]->label, "");
    assert_int_equal(r[0]->parser.kind, PARSER_JSON);
    assert_string_equal(r[1]->container, "");
    assert_string_equal(r[1]->image, "mysql:*");
    assert_string_equal(r[1]->label, "team=*");
    assert_int_equal(r[1]->parser.kind, PARSER_TEXT);
    assert_null(r[2]);

    /* What others say against an item has its place. */
    config_refuse(c, "parsers[1].parser: why", &p);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.list[0].line, 5);
    assert_int_equal(p.list[0].column, 13);
    config_problems_fini(&p);
    config_refuse(c, "parsers[0]: why", &p);
    assert_int_equal(p.list[0].line, 2);
    assert_int_equal(p.list[0].column, 5);
    config_problems_fini(&p);
    config_free(c);

    c = parse_ok("");
    assert_null(c->parsers[0]);
    config_free(c);
    c = parse_ok("parsers: []");
    assert_null(c->parsers[0]);
    config_free(c);
}

static void changes_in_lists_of_maps_are_seen(void **state)
{
    struct config *a = parse_ok("parsers: [{container: a, parser: json}]"),
                  *b = parse_ok("parsers: [{container: a, parser: text}]");
    struct strbuf names = {0};

    (void)state;
    config_differences(a, a, &names);
    assert_int_equal(names.n, 0);
    config_differences(a, b, &names);
    assert_string_equal(names.p, "parsers");
    strbuf_fini(&names);
    config_free(a);
    config_free(b);
}

static void environment_is_taken(void **state)
{
    struct config *c;

    (void)state;
    setenv("BARGE_TEST_DIR", "/a: [b", 1); /* no value can change the structure */
    setenv("BARGE_TEST_EMPTY", "", 1);
    unsetenv("BARGE_TEST_NONE");
    c = parse_ok("data_dir: ${BARGE_TEST_DIR}/x\n"
                 "status: {listen: '${BARGE_TEST_EMPTY}'}\n"
                 "log: {level: '${BARGE_TEST_NONE:-warn}', format: '${BARGE_TEST_EMPTY:-json}'}\n");
    assert_string_equal(c->data_dir, "/a: [b/x");
    assert_string_equal(c->status_listen, "");
    assert_int_equal(c->log_level, LOG_WARN);
    assert_int_equal(c->log_format, LOG_JSON);
    config_free(c);
}

static const struct {
    const char *yaml;
    unsigned line, column; /* of the first problem */
    const char *says;      /* some part of it */
} bad[] = {
    /* unknown, repeated, at the wrong level */
    {"datadir: x", 1, 1, "did you mean data_dir?"},
    {"buffer:\n  max-siz: 1GiB", 2, 3, "unknown key max-siz in buffer; did you mean max_size?"},
    {"output: {elastic_search: {}}", 1, 10, "did you mean elasticsearch?"},
    {"hosts: [http://a]", 1, 1, "output.elasticsearch.hosts"},
    {"inputs:\n  docker:\n    receive_buffer: 1MiB", 3, 5, "inputs.gelf.receive_buffer"},
    {"buffer.max_size: 1GiB", 1, 1, "unknown key buffer.max_size"},
    {"zzzzzzzz: 1", 1, 1, "there are data_dir, shutdown_timeout, inputs"},
    {"buffer: {sync: 1s}\nlog: {level: info}\nbuffer: {max_size: 1GiB}", 3, 1, "twice"},
    {"log:\n  level: info\n  level: warn", 3, 3, "level stands here twice, first in line 2"},
    /* types */
    {"buffer: {max_size: 10XB}", 1, 20, "\"10XB\" is no size; write one like 64MiB"},
    {"buffer: {max_size: -1}", 1, 20, "is no size"},
    {"buffer: {max_size: 1.5GiB}", 1, 20, "is no size"},
    {"buffer: {max_size: 18446744073709551616}", 1, 20, "is no size"},
    {"buffer: {max_size: 9999999TiB}", 1, 20, "is no size"},
    {"buffer: {max_size: [1GiB]}", 1, 20, "one value is needed"},
    {"buffer: {max_size: 4194303}", 1, 20, "at least 4MiB"},
    {"shutdown_timeout: 10", 1, 19, "is no duration; write one like 200ms"},
    {"shutdown_timeout: 2h", 1, 19, "at most 1h"},
    {"buffer: {gelf_max: 0.5}", 1, 20, "is no share"},
    {"buffer: {gelf_max: 101%}", 1, 20, "is no share"},
    {"buffer: {gelf_max: nan%}", 1, 20, "is no share"},
    {"buffer: {gelf_max: 0x10%}", 1, 20, "is no share"},
    {"buffer: {gelf_max: 10%}", 1, 20, "must not be less than gelf_reserve"},
    {"buffer: 1GiB", 1, 9, "buffer: keys are needed below it"},
    {"inputs: {docker: maybe}", 1, 18, "neither true nor false"},
    {"inputs: {gelf: maybe}", 1, 16, "neither true nor false"},
    {"inputs: {gelf: [off]}", 1, 16, "keys are needed below it"},
    {"inputs: {docker: {exclude: a}}", 1, 28, "a list is needed"},
    {"inputs: {docker: {start: yesterday}}", 1, 26, "neither beginning, nor end"},
    {"inputs: {gelf: {udp: 12201}}", 1, 22, "is no address"},
    {"inputs: {gelf: {udp: 'a:b:1'}}", 1, 22, "is no address"},
    {"inputs: {gelf: {udp: 'a:65536'}}", 1, 22, "is no address"},
    {"inputs: {gelf: {tcp: ':12201'}}", 1, 22, "write 0.0.0.0:12201"},
    {"enrich: {fields: [a]}", 1, 18, "pairs are needed"},
    {"enrich: {fields: {a..b: 1}}", 1, 19, "is no field name"},
    {"enrich: {fields: {a.b: 1, a: {b: 2}}}", 1, 31, "a.b is set twice"},
    {"fields: {convert: {a: int}}", 1, 23, "is no type; there are string, long, double"},
    {"log: {level: loud}", 1, 14, "is none of debug, info, warn, error"},
    {"output: {elasticsearch: {max_in_flight: 0}}", 1, 41, "at least 1"},
    /* lists of maps */
    {"parsers: {container: a, parser: json}", 1, 10, "parsers: a list is needed"},
    {"parsers: [json]", 1, 11, "parsers[0]: keys are needed"},
    {"parsers: [{container: a, parser: jsn}]", 1, 34,
     "\"jsn\" is none of auto, json, text, logfmt, nginx"},
    {"parsers:\n  - {container: a, parser: json}\n  - {contaner: b, parser: json}", 3, 6,
     "unknown key contaner in parsers[1]; did you mean container?"},
    {"parsers: [{zzzzzzz: b}]", 1, 12, "there are container, image, label, parser, pattern, types"},
    {"parsers: [{container: a}]", 1, 11, "parsers[0]: parser is missing"},
    {"parsers: [{container: , parser: json}]", 1, 11, "parsers[0]: it says for nothing"},
    {"parsers: [{container: [a], parser: json}]", 1, 23, "parsers[0].container: one value"},
    {"parsers: [{container: '', parser: json}]", 1, 23, "parsers[0].container: it must not be"},
    {"parsers: [{label: team, parser: json}]", 1, 19, "is no label; write one like team="},
    {"parsers: [{label: 't*=a', parser: json}]", 1, 19, "is no label"},
    {"parsers: [{label: '=a', parser: json}]", 1, 19, "is no label"},
    {"parsers: [{container: a, parser: regex}]", 1, 34, "parsers[0].parser: pattern is missing"},
    {"parsers: [{container: a, parser: nginx, pattern: x}]", 1, 50,
     "parsers[0].pattern: only parser: regex has it"},
    {"parsers: [{container: a, parser: json, types: {a: long}}]", 1, 47,
     "parsers[0].types: only parser: regex has it"},
    {"parsers: [{container: a, parser: regex, pattern: x, types: {a: int}}]", 1, 64,
     "parsers[0].types: \"int\" is no type"},
    {"inputs: {files: [{service: db}]}", 1, 18, "inputs.files[0]: paths is missing"},
    {"inputs: {files: [{paths: [], service: db}]}", 1, 26, "paths is missing"},
    {"inputs: {files: [{path: /a.log}]}", 1, 19, "did you mean paths?"},
    {"inputs: {files: [{paths: [a.log]}]}", 1, 27, "\"a.log\" is no absolute path"},
    {"inputs: {files: [{paths: [/a/../b.log]}]}", 1, 27, "is no absolute path"},
    {"inputs: {files: [{paths: ['/a/**/b.log']}]}", 1, 27, "** is not known"},
    {"inputs: {files: [{paths: [/var/log/]}]}", 1, 27, "is a folder; write /var/log/*.log"},
    {"inputs: {files: [{paths: [/proc/kmsg]}]}", 1, 27, "below /proc, /sys and /dev"},
    {"inputs: {files: [{paths: [/a.log], begin: now}]}", 1, 43, "neither beginning, nor end"},
    {"inputs: {files: [{paths: [/a.log], parser: jsn}]}", 1, 44, "is none of auto, json, text"},
    {"inputs: {files: [{paths: [/a.log], parser: mysql, start: x}]}", 1, 58,
     "inputs.files[0].start: only parser: multiline and regex have it"},
    {"parsers: [{container: a, parser: json, time_key: x}]", 1, 50,
     "parsers[0].time_key: only parser: regex has it"},
    {"parsers: [{container: a, parser: json, time_formats: [UNIX]}]", 1, 54,
     "parsers[0].time_formats: only parser: regex has it"},
    {"parsers: [{container: a, parser: regex, pattern: x, time_zone: UTC}]", 1, 64,
     "parsers[0].time_zone: without time_formats"},
    {"parsers: [{container: a, parser: regex, pattern: x, language: go}]", 1, 63,
     "parsers[0].language: only parser: multiline has it"},
    {"parsers: [{container: a, parser: regex, pattern: x, time_formats: ['']}]", 1, 68,
     "must not be empty"},
    {"inputs: {files: [{paths: [/a.log], parser: multiline, language: go, start: x}]}", 1, 76,
     "inputs.files[0].start: language says where records begin"},
    {"inputs: {files: [{paths: [/a.log], service: ''}]}", 1, 45, "must not be empty"},
    {"parsers: [{container: a, container: b, parser: json}]", 1, 26, "container stands here twice"},
    /* output */
    {"output:\n  elasticsearch: {}\n  file: {}", 3, 3, "elasticsearch stands in line 2"},
    {"output: {elasticsearch: {hosts: []}}", 1, 33, "at least one is needed"},
    {"output: {elasticsearch: {hosts: [localhost]}}", 1, 34, "is no URL"},
    {"output: {elasticsearch: {hosts: ['http://']}}", 1, 34, "is no URL"},
    {"output: {elasticsearch: {hosts: ['ftp://a']}}", 1, 34, "is no URL"},
    {"output: {elasticsearch: {hosts: ['http://a:99999']}}", 1, 34, "is no URL"},
    {"output: {elasticsearch: {hosts: ['http://a/?x=1']}}", 1, 34, "is no URL"},
    {"output: {elasticsearch: {hosts: ['u:pw@a']}}", 1, 34, "\"***\" is no URL"},
    {"output: {elasticsearch: {username: u}}", 1, 36, "password_file is missing"},
    {"output: {elasticsearch: {tls: {cert_file: x}}}", 1, 43, "key_file is missing"},
    {"output: {elasticsearch: {index: '%{+YYYY}'}}", 1, 33, "begins with fixed text"},
    {"output: {elasticsearch: {index: 'a-%{tag}'}}", 1, 33, "%{tag} is not known here"},
    {"output: {elasticsearch: {index: 'a-%{+xxxx.ww}'}}", 1, 33, "is not known here"},
    {"output: {elasticsearch: {index: 'a-%{+YYYY'}}", 1, 33, "without its }"},
    {"output: {elasticsearch: {index: Logs}}", 1, 33, "lower case"},
    {"output: {elasticsearch: {index: _logs}}", 1, 33, "must not begin with _"},
    {"output: {elasticsearch: {index: 'a b'}}", 1, 33, "refuses blanks"},
    {"output: {elasticsearch: {index: 'a/b'}}", 1, 33, "refuses /"},
    {"output: {elasticsearch: {index: ''}}", 1, 33, "begins with fixed text"},
    {"output: {file: {path: out/}}", 1, 23, "must name a file"},
    {"output: {file: {path: 'a/%{service.name}'}}", 1, 23, "%{service.name} is not known here"},
    {"retention: 30", 1, 12, "no duration of at least a day"},
    {"retention: 12h", 1, 12, "no duration of at least a day"},
    {"retention: for ever", 1, 12, "like 30d"},
    {"self_index: maybe", 1, 13, "true"},
    {"setup: [true]", 1, 8, ""},
    {"inputs: {kubernetes: {pods: pods}}", 1, 29, "\"pods\" is no absolute path"},
    {"inputs: {kubernetes: {pods: ''}}", 1, 29, "must not be empty"},
    {"inputs: {kubernetes: {pods: /var/log/po*}}", 1, 29, "has a wildcard"},
    {"inputs: {kubernetes: {exclude: a/b}}", 1, 32, "a list is needed"},
    {"inputs: {kubernetes: {exclude: [a/*, kube-system]}}", 1, 38,
     "\"kube-system\" is no namespace/pod; write one like kube-system/*"},
    {"inputs: {kubernetes: {exclude: [/x]}}", 1, 33, "is no namespace/pod"},
    {"inputs: {kubernetes: {exclude: [a/b/c]}}", 1, 33, "is no namespace/pod"},
    {"inputs: {kubernetes: {exclude: ['']}}", 1, 33, "must not be empty"},
    {"inputs: {kubernetes: {start: end}}", 1, 23, "unknown key start in inputs.kubernetes"},
    {"inputs: {kubernetes: perhaps}", 1, 22, "neither true nor false"},
    /* the environment */
    {"data_dir: ${BARGE_TEST_NONE}", 1, 11, "the environment has no BARGE_TEST_NONE"},
    {"shutdown_timeout: ${BARGE_TEST_NONE}", 1, 19, "the environment has no BARGE_TEST_NONE"},
    {"data_dir: ${BARGE_TEST", 1, 11, "without its }"},
    {"data_dir: ${A B}", 1, 11, "write ${NAME}"},
    /* YAML */
    {"[a]", 1, 1, "begins with a key"},
    {"word", 1, 1, "begins with a key"},
    {"a: [", 2, 1, "no valid YAML"},
    {"output:\n\tfile: {}", 2, 1, "not with tabs"},
    {"output: {file: {path: %{+YYYY}}}", 1, 23, "put the value in quotes"},
    {"inputs: {docker: {exclude: [*x]}}", 1, 29, "put a value that begins with * in quotes"},
    {"data_dir: &x /a", 1, 11, "anchors"},
    {"data_dir: !!str /a", 1, 11, "tags"},
    {"data_dir: /a\n---\ndata_dir: /b", 2, 1, "one YAML document"},
    {"data_dir: /a\n\x01", 2, 1, "no text that YAML allows"},
    {"data_dir: \"a\\0b\"", 1, 11, "NUL"},
    {"a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", 1, 20, "too deeply nested"},
};

static void bad_files_are_told(void **state)
{
    (void)state;
    unsetenv("BARGE_TEST_NONE");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct config_problems p;

        assert_null(config_parse(bytes_str(bad[i].yaml), &p));
        assert_true(p.n > 0);
        if (p.list[0].line != bad[i].line || p.list[0].column != bad[i].column ||
            !strstr(p.list[0].text, bad[i].says))
            fail_msg("%s\n  gave %u:%u: %s\n  not  %u:%u: %s", bad[i].yaml, p.list[0].line,
                     p.list[0].column, p.list[0].text, bad[i].line, bad[i].column, bad[i].says);
        /* What follows from a wrong value is not told as well. */
        for (size_t k = 1; k < p.n; k++)
            assert_false(p.list[k].line == p.list[k - 1].line &&
                         p.list[k].column == p.list[k - 1].column);
        config_problems_fini(&p);
    }
}

static void all_problems_in_one_run_in_order(void **state)
{
    struct config_problems p;

    (void)state;
    assert_null(config_parse(bytes_str("log: {level: loud}\n"
                                       "buffer: {max_size: 1, gelf_reserve: 60%}\n"
                                       "bufer: {}\n"
                                       "data_dir: ''\n"),
                             &p));
    assert_int_equal(p.n, 5);
    assert_int_equal(p.list[0].line, 1);
    assert_int_equal(p.list[1].line, 2);
    assert_int_equal(p.list[2].line, 2);
    assert_int_equal(p.list[2].column, 37);
    assert_int_equal(p.list[3].line, 3);
    assert_int_equal(p.list[4].line, 4);
    config_problems_fini(&p);
}

static void print(const struct config *c, struct strbuf *to)
{
    strbuf_clear(to);
    config_print(c, to);
}

static void printed_configuration_means_the_same(void **state)
{
    static const char *const samples[] = {
        "",
        "inputs: {docker: off}",
        "inputs: {kubernetes: off}",
        "inputs: {docker: off, kubernetes: {exclude: ['*/a', b/*]}}",
        "output: {file: {path: '/a b/%{+YYYY}.x'}}",
        "enrich: {fields: {a: '1', b: 1, c: \"q\\\"\\n\", 'k:l': [1, {m: x}]}}",
        "buffer: {sync: off, min_free: 7MB}\nshutdown_timeout: 1500ms",
        "parsers: [{label: a=b, parser: regex, pattern: '^(?<n>\\d+) # \"', types: {n: long}}]",
        "parsers: [{label: a=b, parser: multiline, start: '^(\\d+) # \"'}]",
        "parsers: [{label: a=b, parser: multiline, language: python}]",
        ("inputs: {files: [{paths: [/a/*.log, '/b: c'], exclude: [x*], service: db, begin: 24h, "
         "parser: text}, {paths: [/d.log]}]}"),
        /* what YAML takes for the end of a line, or forbids; a word that would be no text */
        ("parsers: [{container: \"a\\u2028b\\u0085c\\ufeff\", parser: json}, "
         "{container: \"null\", parser: text}]"),
        "enrich: {fields: {\"a\\u2029\": \"b\\u2028\\u007f\\u0080\\ufffe\"}}",
        "parsers: [{container: 'a: *', parser: json}, {label: 'a=\"b', image: '*', parser: text}]",
    };
    struct strbuf first = {0}, second = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        struct config *c = parse_ok(samples[i]);

        print(c, &first);
        config_free(c);
        c = parse_ok(first.p);
        print(c, &second);
        config_free(c);
        assert_string_equal(first.p, second.p);
    }
    strbuf_fini(&first);
    strbuf_fini(&second);
}

static void passwords_are_masked(void **state)
{
    struct config *c = parse_ok("output:\n  elasticsearch:\n"
                                "    hosts: ['http://u:s3cret@h:1/p@q', 'http://only@h']\n"
                                "    proxy: http://p:s3cret@x:3128\n");
    struct strbuf out = {0};

    (void)state;
    print(c, &out);
    assert_null(strstr(out.p, "cret"));
    assert_non_null(strstr(out.p, "http://u:***@h:1/p@q"));
    assert_non_null(strstr(out.p, "http://only@h"));
    assert_non_null(strstr(out.p, "http://p:***@x:3128"));
    strbuf_fini(&out);
    config_free(c);
}

static void the_shipped_file_is_the_defaults(void **state)
{
    struct config_problems p;
    struct config *c = config_load("conf/barge.yaml", &p), *defaults = parse_ok("");
    struct strbuf a = {0}, b = {0};

    (void)state;
    if (!c && access("conf/barge.yaml", F_OK) < 0)
        skip();
    assert_non_null(c);
    print(c, &a);
    print(defaults, &b);
    assert_string_equal(a.p, b.p);
    strbuf_fini(&a);
    strbuf_fini(&b);
    config_free(c);
    config_free(defaults);
}

static void unreadable_files(void **state)
{
    struct config_problems p;
    struct config *c;

    (void)state;
    assert_null(config_load("/nonexistent/barge.yaml", &p));
    assert_int_equal(p.n, 1);
    assert_int_equal(p.list[0].line, 0);
    config_problems_fini(&p);
    assert_null(config_load("/", &p));
    assert_int_equal(p.n, 1);
    config_problems_fini(&p);

    c = parse_ok(
        "output:\n  elasticsearch:\n    username: u\n    password_file: /nonexistent/pw\n");
    assert_false(config_check_files(c, &p));
    assert_int_equal(p.n, 1);
    assert_int_equal(p.list[0].line, 4);
    assert_int_equal(p.list[0].column, 20);
    assert_non_null(strstr(p.list[0].text, "/nonexistent/pw"));
    config_problems_fini(&p);
    config_free(c);
}

static void size_and_number_have_ceilings(void **state)
{
    struct strbuf yaml = {0};
    struct config_problems p;

    (void)state;
    while (yaml.n <= 1 << 20)
        strbuf_add_str(&yaml, "# all blank\n");
    assert_null(config_parse(strbuf_bytes(&yaml), &p));
    assert_int_equal(p.n, 1);
    config_problems_fini(&p);
    strbuf_clear(&yaml);
    for (int i = 0; i < 1000; i++)
        strbuf_printf(&yaml, "k%d: 1\n", i);
    assert_null(config_parse(strbuf_bytes(&yaml), &p));
    assert_int_equal(p.n, 100);
    config_problems_fini(&p);
    strbuf_fini(&yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_files_are_the_defaults),
        cmocka_unit_test(values_arrive),
        cmocka_unit_test(fields_become_json),
        cmocka_unit_test(lists_of_maps_become_structs),
        cmocka_unit_test(changes_in_lists_of_maps_are_seen),
        cmocka_unit_test(environment_is_taken),
        cmocka_unit_test(bad_files_are_told),
        cmocka_unit_test(all_problems_in_one_run_in_order),
        cmocka_unit_test(printed_configuration_means_the_same),
        cmocka_unit_test(passwords_are_masked),
        cmocka_unit_test(the_shipped_file_is_the_defaults),
        cmocka_unit_test(unreadable_files),
        cmocka_unit_test(size_and_number_have_ceilings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
