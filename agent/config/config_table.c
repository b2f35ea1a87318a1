#include "agent/config/config_table.h"

#include "agent/config/config_files.h"
#include "agent/config/config_parsers.h"
#include "agent/config/config_redact.h"
#include "agent/config/config_value.h"

#define AT(member) SETTING_AT(struct config, member)
#define NOWHERE .at = SETTING_NOWHERE

#define KIB 1024ull
#define MIB (1024 * KIB)
#define SECOND 1000ull
#define HOUR (3600 * SECOND)

static const char *const compressions[] = {"none", "gzip", NULL};
static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const formats[] = {"logfmt", "json", NULL};

/* One setting, two or three lines, told apart by eye. */
/* clang-format off */
const struct setting config_table[] = {
    SETTING("data_dir", SET_STRING, AT(data_dir), "/var/lib/barge",
     "folder of the buffer, the positions, the dead letters and the lock",
     .check = config_value_check_nonempty),
    SETTING("shutdown_timeout", SET_DURATION, AT(shutdown_timeout_ms), "10s",
     "how long a stop may go on handing over; the rest stays on disk", .max = HOUR),

    SETTING("inputs.docker", SET_SWITCH, AT(docker.enabled), "on",
     "Docker's json-file logs, read from its folder; no Docker socket needed"),
    SETTING("inputs.docker.containers", SET_STRING, AT(docker.containers), "auto",
     "containers folder; auto: daemon.json's data-root, then the usual, rootless and snap places",
     .check = config_value_check_nonempty),
    SETTING("inputs.docker.start", SET_START, AT(docker.start), "beginning",
     "beginning, end, or 24h back: where a container is begun for which there is no position"),
    SETTING("inputs.docker.exclude", SET_LIST, AT(docker.exclude), "",
     "container names or label=value to leave out, with *", .check = config_value_check_nonempty),
    SETTING("inputs.docker.max_held", SET_SIZE, AT(docker.max_held_bytes), "1GiB",
     "of rotated and removed files held open; beyond it the oldest is let go, its bytes counted"),

    SETTING("inputs.kubernetes", SET_SWITCH, AT(kubernetes.enabled), "on",
     "the logs of this node's pods (containerd, CRI-O), read where the kubelet keeps them; no API server needed"),
    SETTING("inputs.kubernetes.pods", SET_STRING, AT(kubernetes.pods), "/var/log/pods",
     "the kubelet's folder; read when it is there", .check = config_value_check_folder),
    SETTING("inputs.kubernetes.exclude", SET_LIST, AT(kubernetes.exclude), "",
     "pods to leave out, namespace/pod, with *", .check = config_value_check_pod),
    SETTING("inputs.files", SET_ITEMS, AT(files), NULL,
     "other log files, one record a line, or as parser says; of two rules that fit the first counts",
     .items = &config_files_items),

    SETTING("inputs.gelf", SET_SWITCH, NOWHERE, "on", "GELF, from Docker's driver and from libraries"),
    SETTING("inputs.gelf.udp", SET_STRING, AT(gelf.udp), "127.0.0.1:12201",
     "Docker's driver sends from the host itself; \"\" turns it off",
     .check = config_value_check_address),
    SETTING("inputs.gelf.tcp", SET_STRING, AT(gelf.tcp), "", "host:port to listen on; \"\" turns it off",
     .check = config_value_check_address),
    SETTING("inputs.gelf.tcp_when_full", SET_DURATION, AT(gelf.tcp_when_full_ms), "2s",
     "how long a stream may wait for room before its messages are dropped and counted",
     .max = HOUR),
    SETTING("inputs.gelf.receive_buffer", SET_SIZE, AT(gelf.receive_buffer_bytes), "8MiB",
     "asked of the kernel for the UDP socket; it grants at most net.core.rmem_max",
     .min = 4 * KIB, .max = 1024 * MIB),
    SETTING("inputs.gelf.max_message", SET_SIZE, AT(gelf.max_message_bytes), "8MiB",
     "after inflating and joining", .min = 4 * KIB, .max = 16 * MIB),
    SETTING("inputs.gelf.max_pending", SET_SIZE, AT(gelf.max_pending_bytes), "32MiB",
     "chunks waiting for their siblings, all senders together", .min = 64 * KIB,
     .max = 1024 * MIB),

    SETTING("parsers", SET_ITEMS, AT(parsers), NULL,
     "how messages are read, by container, image or label; the first that fits; else: JSON or text",
     .items = &config_parsers_items),

    SETTING("enrich.service", SET_STRING, AT(enrich.service), "auto",
     "auto: from labels, names and the record; or a fixed service name",
     .check = config_value_check_nonempty),
    SETTING("enrich.request_id_keys", SET_LIST, AT(enrich.request_id_keys), "",
     "keys that hold the request id, tried before the built-in ones",
     .check = config_value_check_field),
    SETTING("enrich.host", SET_STRING, AT(enrich.host), "auto",
     "auto: NODE_NAME, a mounted /etc/hostname, the own hostname; or a fixed name",
     .check = config_value_check_nonempty),
    SETTING("enrich.fields", SET_JSON_MAP, AT(enrich.fields), "", "set in every document",
     .check_key = config_value_check_field),
    SETTING("fields.add", SET_JSON_MAP, AT(enrich.add), "", "fields to set on the parsed record",
     .check_key = config_value_check_field),
    SETTING("fields.rename", SET_TEXT_MAP, AT(enrich.rename), "", "old name: new name",
     .check = config_value_check_field, .check_key = config_value_check_field),
    SETTING("fields.remove", SET_LIST, AT(enrich.remove), "", "fields to leave out",
     .check = config_value_check_field),
    SETTING("fields.convert", SET_TEXT_MAP, AT(enrich.convert), "",
     "name: string, long, double or boolean", .check = config_value_check_convert,
     .check_key = config_value_check_field),

    SETTING("redact.key_file", SET_FILE, AT(redact.key_file), "",
     "file with the key of pseudonyms (action: hash), 16 bytes at least"),
    SETTING("redact.rules", SET_ITEMS, AT(redact.rules), NULL,
     "what is taken out of documents before they are written anywhere: - {kind: email, action: hash}",
     .items = &config_redact_items),
    SETTING("redact.except", SET_LIST, AT(redact.except), "",
     "fields in which no kind is looked for, with *", .check = config_redact_check_field),

    SETTING("buffer.max_size", SET_SIZE, AT(buffer.max_bytes), "1GiB",
     "of the buffer on disk; when it is full, files wait and datagrams are dropped and counted",
     .min = 4 * MIB),
    SETTING("buffer.min_free", SET_MIN_FREE, AT(buffer.min_free_bytes), "10%",
     "of the file system (or a size): the buffer stops growing before it makes the host sick"),
    SETTING("buffer.sync", SET_SYNC, AT(buffer.sync_ms), "200ms",
     "group commit; 0: at once, off: left to the kernel", .max = HOUR),
    SETTING("buffer.gelf_reserve", SET_SHARE, AT(buffer.gelf_reserve_share), "20%",
     "of max_size, kept for input that cannot wait"),
    SETTING("buffer.gelf_max", SET_SHARE, AT(buffer.gelf_max_share), "50%",
     "what GELF may take at most, so that it cannot stop the files"),
    SETTING("dead_letters.max_size", SET_SIZE, AT(dead_letters.max_bytes), "256MiB",
     "of refused records kept; beyond it, refused records hold up their index", .min = MIB),
    SETTING("dead_letters.max_age", SET_DURATION, AT(dead_letters.max_age_ms), "30d",
     "dead letters older than this make room for new ones", .min = HOUR),

    SETTING("output.elasticsearch.hosts", SET_MASKED_LIST, AT(elasticsearch.hosts),
     "http://localhost:9200", "several: the load is spread, a broken one is left out",
     .check = config_value_check_url),
    SETTING("output.elasticsearch.index", SET_STRING, AT(elasticsearch.index),
     "microservices-%{+YYYY.MM.dd}",
     "Logstash's pattern: event time, UTC; %{service.name} from labels and names only",
     .check = config_value_check_index),
    SETTING("output.elasticsearch.index_window", SET_DURATION, AT(elasticsearch.index_window_ms), "7d",
     "event times further back go to the index of the day they arrived; 0: no limit"),
    SETTING("output.elasticsearch.park_after", SET_DURATION, AT(elasticsearch.park_after_ms), "15m",
     "an index that accepts nothing this long no longer holds the buffer", .min = SECOND),
    SETTING("output.elasticsearch.username", SET_STRING, AT(elasticsearch.username), "",
     "for Basic authentication"),
    SETTING("output.elasticsearch.password_file", SET_FILE, AT(elasticsearch.password_file), "",
     "file with the password of username"),
    SETTING("output.elasticsearch.api_key_file", SET_FILE, AT(elasticsearch.api_key_file), "",
     "file with an API key in the base64 form that Elasticsearch gives"),
    SETTING("output.elasticsearch.tls.ca_file", SET_FILE, AT(elasticsearch.tls.ca_file), "",
     "certificates to trust instead of the system's"),
    SETTING("output.elasticsearch.tls.cert_file", SET_FILE, AT(elasticsearch.tls.cert_file), "",
     "own certificate"),
    SETTING("output.elasticsearch.tls.key_file", SET_FILE, AT(elasticsearch.tls.key_file), "",
     "key of the own certificate"),
    SETTING("output.elasticsearch.tls.verify", SET_BOOL, AT(elasticsearch.tls.verify), "true",
     "whether the node must prove who it is"),
    SETTING("output.elasticsearch.proxy", SET_MASKED, AT(elasticsearch.proxy), "",
     "the environment's proxies are not used", .check = config_value_check_proxy),
    SETTING("output.elasticsearch.compression", SET_CHOICE, AT(elasticsearch.gzip), "gzip",
     "gzip or none", .choices = compressions),
    SETTING("output.elasticsearch.batch_size", SET_SIZE, AT(elasticsearch.batch_bytes), "1MiB",
     "of a bulk request before compression", .min = 4 * KIB, .max = 64 * MIB),
    SETTING("output.elasticsearch.batch_delay", SET_DURATION, AT(elasticsearch.batch_delay_ms), "200ms",
     "how long a batch may wait to become full", .max = 60 * SECOND),
    SETTING("output.elasticsearch.max_in_flight", SET_COUNT, AT(elasticsearch.max_in_flight), "8",
     "requests per host at a time; the agent finds the right number below it", .min = 1,
     .max = 64),
    SETTING("output.elasticsearch.timeout", SET_DURATION, AT(elasticsearch.timeout_ms), "60s",
     "of one request", .min = SECOND, .max = HOUR),
    SETTING("output.file.path", SET_STRING, AT(file.path), "out/microservices-%{+YYYY.MM.dd}.ndjson",
     "one file a day by event time, UTC; one document a line",
     .check = config_value_check_file_path),

    SETTING("setup", SET_BOOL, AT(setup), "true",
     "put the index template in place at start; never over an operator's own"),
    SETTING("retention", SET_STRING, AT(retention), "",
     "30d: a lifecycle policy that deletes daily indices of that age; \"\": kept for ever",
     .check = config_value_check_retention),
    SETTING("self_index", SET_BOOL, AT(self_index), "false",
     "index the agent's own figures once a minute, in barge-figures-YYYY.MM.dd"),

    SETTING("trace.hosts", SET_MASKED_LIST, AT(trace.hosts), "",
     "nodes that `barge trace` asks; none: those of the output", .check = config_value_check_url),
    SETTING("trace.username", SET_STRING, AT(trace.username), "",
     "user with the privilege `read`, for `barge trace`; without one it asks as the output does"),
    SETTING("trace.password_file", SET_STRING, AT(trace.password_file), "",
     "file with its password; the agent need not be able to read it"),
    SETTING("trace.api_key_file", SET_STRING, AT(trace.api_key_file), "",
     "file with an API key, instead of user and password"),

    SETTING("status.listen", SET_STRING, AT(status_listen), "127.0.0.1:9280",
     "/metrics (Prometheus), /status (JSON), /health, /ready; \"\" turns them off",
     .check = config_value_check_address),
    SETTING("log.level", SET_CHOICE, AT(log_level), "info", "debug, info, warn or error",
     .choices = levels),
    SETTING("log.format", SET_CHOICE, AT(log_format), "logfmt", "logfmt or json", .choices = formats),
};
/* clang-format on */

const size_t config_table_size = ARRAY_LEN(config_table);

const struct setting *config_table_find(const char *path)
{
    for (size_t i = 0; i < config_table_size; i++)
        if (strcmp(config_table[i].path, path) == 0)
            return &config_table[i];
    return NULL;
}

bool config_table_is_section(const char *path)
{
    size_t n = strlen(path);

    for (size_t i = 0; i < config_table_size; i++)
        if (strncmp(config_table[i].path, path, n) == 0 && config_table[i].path[n] == '.')
            return true;
    return false;
}
