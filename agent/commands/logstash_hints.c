#include "agent/commands/logstash_hints.h"

/* A pipeline that the node runs itself. */
#define INGEST(processor)                                                                          \
    "an ingest pipeline of the node has " processor                                                \
    " (name it by index.default_pipeline in the index template)"

#define NOTHING "barge has nothing that stands for it"
#define ONE_HOST "barge reads the logs of its own host: run it there, in the place of the sender"
#define QUEUE "barge needs no queue between: its buffer on disk waits for the node"
#define BATCH "barge follows logs; what is fetched now and then stays with Logstash"
#define ONE_OUTPUT "barge has one output; what this gets can be taken from Elasticsearch"
#define INDEX_SIDE "see `setup` and `retention`, and `barge setup`"
#define ONE_DOCUMENT "barge makes documents of an _id of their own, once, and changes none"

struct hint {
    const char *name, *text;
};

static const struct hint inputs[] = {
    {"beats", "barge takes Filebeat's place on each host; conf/MIGRATING.md has its options"},
    {"elastic_agent",
     "barge takes its place on each host; conf/MIGRATING.md has Filebeat's options"},
    {"lumberjack", ONE_HOST},
    {"docker", "inputs.docker reads what containers log, without Docker's socket"},
    {"syslog", "have the syslog daemon write files, and read them by inputs.files"},
    {"udp", "inputs.gelf.udp takes GELF; anything else can be written to files (inputs.files)"},
    {"tcp", "inputs.gelf.tcp takes GELF; anything else can be written to files (inputs.files)"},
    {"unix", "have it write files, and read them by inputs.files"},
    {"stdin", "have it write a file, and read it by inputs.files"},
    {"pipe", "have it write a file, and read it by inputs.files"},
    {"exec", "have it write a file, and read it by inputs.files"},
    {"journald", "have the journal forwarded to a syslog daemon's files, and read them by "
                 "inputs.files"},
    {"log4j", "have it log to standard output, or to files, and read them"},
    {"log4j2", "have it log to standard output, or to files, and read them"},
    {"http", ONE_HOST},
    {"kafka", QUEUE},
    {"redis", QUEUE},
    {"rabbitmq", QUEUE},
    {"sqs", QUEUE},
    {"dead_letter_queue", "barge keeps dead letters itself; see `barge replay`"},
    {"heartbeat", "self_index: true writes barge's own figures once a minute"},
    {"generator", "it makes records up, which is for tests alone"},
    {"jdbc", BATCH},
    {"http_poller", BATCH},
    {"elasticsearch", BATCH},
    {"s3", BATCH},
    {"snmp", BATCH},
    {"imap", BATCH},
    {"pipeline", "barge has one pipeline; import the files of all of them together"},
};

static const struct hint filters[] = {
    {"drop", "barge keeps every record; whole containers are left out by inputs.docker.exclude"},
    {"multiline", "lines are put together by `parser: multiline`, of containers and of files"},
    {"geoip", INGEST("geoip")},
    {"useragent", INGEST("user_agent")},
    {"ruby", "barge runs no code; see `fields` and `parsers`, or " INGEST("script")},
    {"dissect", "`parser: regex` with a pattern reads the same, or " INGEST("dissect")},
    {"csv", "`parser: regex` with a group for each column, or " INGEST("csv")},
    {"xml", INGEST("script, and barge keeps the text as it is")},
    {"urldecode", INGEST("urldecode")},
    {"split", "a record is one document"},
    {"clone", "a record is one document"},
    {"translate", "labels of the container are in the document, and " INGEST("enrich")},
    {"anonymize", "see `redact`, action: hash"},
    {"fingerprint", "barge gives each document an _id of its own; for pseudonyms see `redact`"},
    {"uuid", "barge gives each document an _id of its own"},
    {"prune", "fields.remove leaves fields out by their names"},
    {"json_encode", "barge keeps objects as objects"},
    {"syslog_pri", "log.level is set from words and syslog's numbers in a member level"},
    {"throttle", "barge keeps every record; a container that logs too much has its share of time"},
    {"sleep", "barge takes its time by itself"},
    {"aggregate", "records of one request have one http.request.id; see `barge trace`"},
    {"elapsed", "records of one request have one http.request.id; see `barge trace`"},
    {"metrics", "status.listen has /metrics, and self_index: true writes them once a minute"},
    {"dns", INGEST("script, and names of addresses are best asked for when they are looked at")},
    {"cidr", INGEST("network_direction and script")},
    {"environment", "enrich.fields takes ${NAME} of the environment"},
    {"de_dot", "barge nests names with dots by itself"},
    {"truncate", "messages are cut at 1 MiB, and tagged"},
    {"bytes", INGEST("bytes")},
    {"tld", INGEST("registered_domain")},
    {"elasticsearch", INGEST("enrich")},
    {"jdbc_streaming", INGEST("enrich")},
    {"jdbc_static", INGEST("enrich")},
    {"memcached", INGEST("enrich")},
    {"http", INGEST("enrich")},
    {"kubernetes_metadata", "inputs.kubernetes sets kubernetes.* by itself"},
};

static const struct hint mutations[] = {
    {"gsub",
     "`parser: regex` can capture what is wanted, `redact` can mask it, or " INGEST("gsub")},
    {"lowercase", "log.level is in small letters by itself; else " INGEST("lowercase")},
    {"uppercase", INGEST("uppercase")},
    {"capitalize", INGEST("script")},
    {"strip", "`parser: regex` can capture without the blanks, or " INGEST("trim")},
    {"split", INGEST("split")},
    {"join", INGEST("join")},
    {"merge", INGEST("append")},
    {"copy", INGEST("set with copy_from")},
    {"update", "fields.remove and fields.add set a field whether it was there or not; else " INGEST(
                   "script")},
    {"coerce", INGEST("script")},
    {"tag_on_failure", "what cannot be converted stays as it is, and is not tagged"},
};

static const struct hint outputs[] = {
    {"stdout", "to see documents, have output.file alone and look at its files"},
    {"null", "what must not be sent can be left out where it is read (exclude)"},
    {"redis", QUEUE},
    {"kafka", QUEUE},
    {"rabbitmq", QUEUE},
    {"sqs", QUEUE},
    {"logstash", QUEUE},
    {"pipeline", "barge has one pipeline; import the files of all of them together"},
    {"email", "have Kibana's or Elasticsearch's alerts send it"},
    {"slack", "have Kibana's or Elasticsearch's alerts send it"},
    {"pagerduty", "have Kibana's or Elasticsearch's alerts send it"},
    {"http", ONE_OUTPUT},
    {"gelf", ONE_OUTPUT},
    {"syslog", ONE_OUTPUT},
    {"tcp", ONE_OUTPUT},
    {"udp", ONE_OUTPUT},
    {"loki", ONE_OUTPUT},
    {"s3", ONE_OUTPUT},
    {"csv", ONE_OUTPUT},
    {"exec", ONE_OUTPUT},
    {"statsd", "status.listen has /metrics for barge itself"},
    {"graphite", "status.listen has /metrics for barge itself"},
};

#define KEYSTORE "barge reads PEM, as tls.cert_file, tls.key_file and tls.ca_file"
#define PARAMETER "a parameter of the requests cannot be set"

static const struct hint elasticsearch[] = {
    {"keystore", KEYSTORE},
    {"keystore_password", KEYSTORE},
    {"truststore", KEYSTORE},
    {"truststore_password", KEYSTORE},
    {"ssl_keystore_path", KEYSTORE},
    {"ssl_keystore_password", KEYSTORE},
    {"ssl_keystore_type", KEYSTORE},
    {"ssl_truststore_path", KEYSTORE},
    {"ssl_truststore_password", KEYSTORE},
    {"ssl_truststore_type", KEYSTORE},
    {"ca_trusted_fingerprint", KEYSTORE},
    {"ssl_supported_protocols", "TLS 1.2 and 1.3 are spoken, with OpenSSL's own choice of ciphers"},
    {"ssl_cipher_suites", "TLS 1.2 and 1.3 are spoken, with OpenSSL's own choice of ciphers"},
    {"template", INDEX_SIDE},
    {"template_name", INDEX_SIDE},
    {"template_overwrite", INDEX_SIDE},
    {"ilm_enabled", INDEX_SIDE},
    {"ilm_rollover_alias", INDEX_SIDE},
    {"ilm_pattern", INDEX_SIDE},
    {"ilm_policy", INDEX_SIDE},
    {"data_stream", "barge writes daily indices, into no data stream"},
    {"data_stream_type", "barge writes daily indices, into no data stream"},
    {"data_stream_dataset", "barge writes daily indices, into no data stream"},
    {"data_stream_namespace", "barge writes daily indices, into no data stream"},
    {"data_stream_auto_routing", "barge writes daily indices, into no data stream"},
    {"data_stream_sync_fields", "barge writes daily indices, into no data stream"},
    {"pipeline", "name it by index.default_pipeline in the index template"},
    {"document_id", "barge gives each document an _id of its own, so that none is there twice"},
    {"routing", ONE_DOCUMENT},
    {"parent", ONE_DOCUMENT},
    {"join_field", ONE_DOCUMENT},
    {"upsert", ONE_DOCUMENT},
    {"doc_as_upsert", ONE_DOCUMENT},
    {"scripted_upsert", ONE_DOCUMENT},
    {"script", ONE_DOCUMENT},
    {"script_lang", ONE_DOCUMENT},
    {"script_type", ONE_DOCUMENT},
    {"script_var_name", ONE_DOCUMENT},
    {"version", ONE_DOCUMENT},
    {"version_type", ONE_DOCUMENT},
    {"cloud_id", "name the nodes in hosts"},
    {"cloud_auth", "secrets come from files: username and password_file"},
    {"sniffing", "name the nodes in hosts"},
    {"custom_headers", PARAMETER},
    {"parameters", PARAMETER},
    {"bulk_path", PARAMETER},
};

static const char *look(const struct hint *list, size_t n, struct bytes name)
{
    for (size_t i = 0; i < n; i++)
        if (bytes_is(name, list[i].name))
            return list[i].text;
    return NOTHING;
}

const char *logstash_hints_input(struct bytes plugin)
{
    return look(inputs, ARRAY_LEN(inputs), plugin);
}

const char *logstash_hints_filter(struct bytes plugin)
{
    return look(filters, ARRAY_LEN(filters), plugin);
}

const char *logstash_hints_mutate(struct bytes option)
{
    return look(mutations, ARRAY_LEN(mutations), option);
}

const char *logstash_hints_output(struct bytes plugin)
{
    return look(outputs, ARRAY_LEN(outputs), plugin);
}

const char *logstash_hints_elasticsearch(struct bytes option)
{
    return look(elasticsearch, ARRAY_LEN(elasticsearch), option);
}
