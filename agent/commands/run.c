/*
 * run: the agent. Puts the house together from the bottom up (buffer, output, inputs, status
 * pages), runs the loop, and takes it down in the other order.
 */
#include "agent/commands/run.h"

#include "agent/base/clock.h"
#include "agent/base/folder.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/base/notify.h"
#include "agent/base/startup_pages.h"
#include "agent/base/strbuf.h"
#include "agent/base/version.h"
#include "agent/buffer/buffer.h"
#include "agent/commands/confine.h"
#include "agent/commands/redaction.h"
#include "agent/commands/signals.h"
#include "agent/commands/verify.h"
#include "agent/config/config.h"
#include "agent/config/config_value.h"
#include "agent/inputs/docker.h"
#include "agent/inputs/files.h"
#include "agent/inputs/gelf.h"
#include "agent/inputs/pods.h"
#include "agent/inputs/replay.h"
#include "agent/loop/loop.h"
#include "agent/pipeline/intake.h"
#include "agent/status/status.h"
#include "outputs/output.h"
#include "parsers/document.h"
#include "parsers/formats.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define STUCK_MS 10000 /* a round of the loop that takes longer is no progress */
#define STOP_EXTRA_MS 10000
#define UPKEEP_MS 1000 /* while something waits for room or for the disk */

struct agent {
    const char *config_path;
    struct config *config;
    struct loop *loop;
    struct buffer *buffer;
    struct encoder *encoder;
    struct redact *redact; /* NULL: nothing is redacted */
    struct formats *formats;
    struct intake *intake;
    const struct output_kind_ops *output_ops;
    pthread_mutex_t output_lock;
    void *output; /* under output_lock: the buffer wakes it from two threads */
    struct output_figures figures;
    char host[256]; /* our name, as documents have it */
    struct docker_holder *holder;
    struct docker_input *docker;
    struct files_input *files;
    struct pods_input *pods;
    struct tail_turns *tails[3]; /* of those three that there are, in the order of their turns */
    size_t n_tails;
    struct gelf_input *gelf;
    struct replay_input *replay;
    struct status *status;
    int status_fd;               /* until status takes it */
    struct gelf_sockets sockets; /* until gelf takes them */
    struct loop_timer *upkeep, *watchdog;
    uint64_t watchdog_ms;
    _Atomic bool room; /* the buffer says that there may be room, or that more is durable */
    _Atomic bool running;
    _Atomic(const char *) stop_signal; /* the name of the one that asks for it */
    _Atomic bool reload_wanted;
    bool stopping;
    uint64_t stop_due_ms; /* until when a stop may take, once stopping */
};

/* ---- what the buffer tells, from its own thread ---- */

static void on_room(void *arg)
{
    struct agent *a = arg;

    atomic_store(&a->room, true);
    loop_wake(a->loop);
}

/* From the holder's thread. */
static void on_held(void *arg)
{
    struct agent *a = arg;

    loop_wake(a->loop);
}

/* Also from the thread of buffer_commit. */
static void on_data(void *arg)
{
    struct agent *a = arg;

    pthread_mutex_lock(&a->output_lock);
    if (a->output)
        a->output_ops->wake(a->output);
    pthread_mutex_unlock(&a->output_lock);
}

/* What on_data may wake from now on; returns what it was. */
static void *set_output(struct agent *a, void *output)
{
    void *old;

    pthread_mutex_lock(&a->output_lock);
    old = a->output;
    a->output = output;
    pthread_mutex_unlock(&a->output_lock);
    return old;
}

static void tell_room(struct agent *a)
{
    for (size_t i = 0; i < a->n_tails; i++) {
        tail_turns_committed(a->tails[i]);
        tail_turns_room(a->tails[i]);
    }
    if (a->gelf)
        gelf_input_room(a->gelf);
    if (a->replay) {
        replay_input_committed(a->replay);
        replay_input_room(a->replay);
    }
}

static void upkeep(void *arg)
{
    struct agent *a = arg;

    atomic_store(&a->room, true);
}

static void pet_watchdog(void *arg)
{
    struct agent *a = arg;

    notify_state("WATCHDOG=1");
    loop_timer_set(a->watchdog, a->watchdog_ms / 2);
}

/* ---- configuration, again ---- */

static void report_problems(const char *path, const struct config_problems *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->list[i].line)
            fprintf(stderr, "%s:%u:%u: %s\n", path, p->list[i].line, p->list[i].column,
                    p->list[i].text);
        else
            fprintf(stderr, "%s: %s\n", path ? path : "barge", p->list[i].text);
    }
}

/* config_load, and what only the modules know. */
static struct config *load(const char *path, struct config_problems *problems)
{
    struct config *c = config_load(path, problems);

    if (!c)
        return NULL;
    config_problems_fini(problems);
    if (verify_config(c, problems))
        return c;
    config_free(c);
    return NULL;
}

/* Records in the buffer keep the shape that they got; those that are read from now on get the new
 * one. */
static void take_over_parsers(struct agent *a, const struct config *fresh)
{
    struct formats *formats = formats_create(fresh->parsers, NULL), *old = a->formats;

    ASSERT(formats); /* verify_config has seen these rules */
    intake_set_formats(a->intake, formats);
    if (a->docker)
        docker_input_formats_changed(a->docker);
    if (a->pods)
        pods_input_formats_changed(a->pods);
    if (a->gelf)
        gelf_input_formats_changed(a->gelf);
    a->formats = formats;
    formats_free(old);
}

/* Takes over what can be had without a restart; names what cannot. */
static void take_over(struct agent *a, struct config *fresh)
{
    struct parser_rule **rules = a->config->parsers;
    struct strbuf names = {0};

    a->config->log_level = fresh->log_level;
    a->config->log_format = fresh->log_format;
    log_init(fresh->log_level, fresh->log_format);
    if (a->output_ops->reload)
        a->output_ops->reload(a->output);
    take_over_parsers(a, fresh);
    a->config->parsers = fresh->parsers;
    log_info("configuration reloaded: parsers, log settings, credentials and certificates",
             LOG_STR("file", a->config_path ? a->config_path : ""));
    config_differences(a->config, fresh, &names);
    fresh->parsers = rules; /* goes with it */
    if (names.n)
        LOG_EACH(LOG_WARN, "settings have changed that take effect at the next start",
                 LOG_BYTES("settings", strbuf_bytes(&names)));
    strbuf_fini(&names);
}

static void reload(struct agent *a)
{
    struct config_problems problems = {0};
    struct config *fresh;

    notify_reloading();
    fresh = load(a->config_path, &problems);
    if (fresh) {
        take_over(a, fresh);
        config_free(fresh);
    } else {
        report_problems(a->config_path, &problems);
        LOG_EACH(LOG_ERROR, "configuration not reloaded: the old one stays in force",
                 LOG_STR("file", a->config_path ? a->config_path : ""),
                 LOG_STR("first_problem", problems.list[0].text), LOG_U64("problems", problems.n));
    }
    config_problems_fini(&problems);
    notify_state("READY=1");
}

/* ---- signals ---- */

/* Both in the thread of the signals. */
static void on_reload_signal(void *arg)
{
    struct agent *a = arg;

    atomic_store(&a->reload_wanted, true);
    loop_wake(a->loop);
}

static void on_stop_signal(void *arg, const char *name)
{
    struct agent *a = arg;

    atomic_store(&a->stop_signal, name);
    loop_wake(a->loop);
}

/* The service manager is told how long a stop may take: handing over, and the disk after it. */
static void tell_stopping(const struct agent *a)
{
    char state[80];

    snprintf(state, sizeof state, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu",
             (unsigned long long)(a->config->shutdown_timeout_ms + STOP_EXTRA_MS) * 1000);
    notify_state(state);
}

static void heed_signals(struct agent *a)
{
    const char *name = atomic_load(&a->stop_signal);

    if (name && !a->stopping) {
        log_info("stopping", LOG_STR("signal", name));
        a->stopping = true;
        a->stop_due_ms = clock_mono_ms() + a->config->shutdown_timeout_ms;
        tell_stopping(a);
    }
    if (!a->stopping && atomic_exchange(&a->reload_wanted, false))
        reload(a);
}

static bool owes_reading(const struct agent *a)
{
    for (size_t i = 0; i < a->n_tails; i++)
        if (tail_turns_owe(a->tails[i]))
            return true;
    return false;
}

/* How long a stop may go on, from now. */
static uint64_t stop_left_ms(const struct agent *a)
{
    uint64_t now_ms = clock_mono_ms();

    if (!a->stopping)
        return a->config->shutdown_timeout_ms;
    return a->stop_due_ms - MIN(a->stop_due_ms, now_ms);
}

/* ---- turns ---- */

/* Whoever asks us to stop may just have removed containers with their logs, as `docker compose
 * down` does: what only we have open is read before. For what happened until the signal came a
 * whole round has to be over. Returns whether there is more to read at once. */
static bool go_on_stopping(struct agent *a, bool was_stopping, bool more)
{
    if (!was_stopping)
        return true;
    if (!owes_reading(a) || stop_left_ms(a) == 0) {
        loop_stop(a->loop);
        return false;
    }
    if (!more && !loop_timer_armed(a->upkeep))
        loop_timer_set(a->upkeep, UPKEEP_MS);
    return more;
}

/* The end of each round of the loop: files get their share, then everything that this round brought
 * is committed at once. */
static bool turn(void *arg)
{
    struct agent *a = arg;
    bool was_stopping = a->stopping, more = false;

    heed_signals(a);
    if (atomic_exchange(&a->room, false))
        tell_room(a);
    for (size_t i = 0; i < a->n_tails; i++)
        more |= tail_turns_run(a->tails[i]);
    if (a->replay)
        more |= replay_input_turn(a->replay);
    if (buffer_commit(a->buffer) == 0) {
        for (size_t i = 0; i < a->n_tails; i++)
            tail_turns_committed(a->tails[i]);
        if (a->replay)
            replay_input_committed(a->replay);
    } else {
        more = false; /* the disk refuses: the upkeep timer tries again */
    }
    if (!loop_timer_armed(a->upkeep) &&
        (metric_get(M_BUFFER_FULL) || metric_get(M_DOCKER_AT_RISK) || metric_get(M_DOCKER_HELD) ||
         metric_get(M_FILES_AT_RISK) || metric_get(M_FILES_HELD) || metric_get(M_PODS_AT_RISK) ||
         metric_get(M_PODS_HELD)))
        loop_timer_set(a->upkeep, UPKEEP_MS);
    return a->stopping ? go_on_stopping(a, was_stopping, more) : more;
}

/* ---- status ---- */

static void fill_figures(void *arg)
{
    struct agent *a = arg;
    struct buffer_stats s;

    buffer_stats(a->buffer, &s);
    metric_set(M_READ, s.read);
    metric_set(M_DELIVERED, s.delivered);
    metric_set(M_DUPLICATE, s.duplicate);
    metric_set(M_DEAD, s.dead_lettered);
    metric_set(M_BUFFERED, s.buffered);
    metric_set(M_DROP_BUFFER_FULL, s.dropped[BUFFER_DROP_FULL]);
    metric_set(M_DROP_TOO_LARGE, s.dropped[BUFFER_DROP_TOO_LARGE]);
    metric_set(M_DROP_INVALID, s.dropped[BUFFER_DROP_INVALID]);
    metric_set(M_DROP_DAMAGED, s.damaged);
    metric_set(M_BUFFER_DAMAGED, s.damaged);
    metric_set(M_BUFFER_BYTES, s.bytes);
    metric_set(M_BUFFER_MAX, s.max_bytes);
    metric_set(M_BUFFER_SEGMENTS, s.segments);
    metric_set(M_BUFFER_OLDEST, s.oldest_age_s);
    metric_set(M_BUFFER_FULL, s.full);
}

static bool is_healthy(void *arg, struct strbuf *why)
{
    struct agent *a = arg;
    uint64_t busy = loop_busy_ms(a->loop);

    if (busy < STUCK_MS)
        return true;
    strbuf_printf(why, "the intake has made no progress for %llu s",
                  (unsigned long long)(busy / 1000));
    return false;
}

static bool is_ready(void *arg, struct strbuf *why)
{
    struct agent *a = arg;

    if (atomic_load(&a->running))
        return true;
    strbuf_add_str(why, "starting or stopping");
    return false;
}

/* ---- building ---- */

/* Where the records go, for the log. */
static void add_destination(struct strbuf *to, const struct config *c)
{
    if (c->output_kind == OUTPUT_FILE)
        strbuf_add_str(to, c->file.path);
    else
        for (char **host = c->elasticsearch.hosts; *host; host++) {
            strbuf_add_str(to, to->n ? " " : "");
            config_value_add_masked(to, *host);
        }
}

/* Whoever owns what we write to could put something else there. Root may own the folder above: it
 * could do that anyway, and hands volumes to others. */
static int check_owner(const char *path, bool or_root, struct error *e)
{
    uid_t own = geteuid();
    struct stat st;

    if (stat(path, &st) < 0)
        return errno == ENOENT
                   ? 0
                   : error_set(e,
                               "data_dir: %s: %s; run as root, or choose a folder where this user "
                               "may write",
                               path, strerror(errno));
    if (st.st_uid == own || (or_root && st.st_uid == 0))
        return 0;
    return error_set(e,
                     "data_dir: %s belongs to user %lu, and barge runs as user %lu; run it as that "
                     "user, give the folder and all that is in it to this one (chown -R), or "
                     "choose another",
                     path, (unsigned long)st.st_uid, (unsigned long)own);
}

static int make_data_dir(const char *path, struct error *e)
{
    static const char *const folders[] = {"buffer", "dead-letters", "replay"};
    struct strbuf below = {0};
    struct error why;
    int rc = 0;

    if (folder_make(path, 0700, &why) < 0)
        return error_set(
            e, "data_dir: %s; run as root, or choose a folder where this user may write", why.text);
    if (check_owner(path, true, e) < 0)
        return -1;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(folders); i++) {
        strbuf_clear(&below);
        strbuf_printf(&below, "%s/%s", path, folders[i]);
        rc = check_owner(below.p, false, e);
    }
    strbuf_fini(&below);
    return rc;
}

/* First line of a small file, without its line end; 0 when there is none. */
static size_t first_line(const char *path, char *to, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return 0;
    n = read(fd, to, cap - 1);
    close(fd);
    if (n <= 0)
        return 0;
    to[n] = '\0';
    to[strcspn(to, "\r\n \t")] = '\0';
    return strlen(to);
}

/* The host's name: NODE_NAME (Kubernetes), inside a container the mounted /etc/hostname, else our
 * own. */
static void host_name(const struct enrich_settings *s, char *to, size_t cap)
{
    const char *node = getenv("NODE_NAME");

    if (strcmp(s->host, "auto") != 0)
        snprintf(to, cap, "%s", s->host);
    else if (node && node[0])
        snprintf(to, cap, "%s", node);
    else if ((access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0) &&
             first_line("/etc/hostname", to, cap) > 0)
        return;
    else if (gethostname(to, cap) < 0)
        snprintf(to, cap, "localhost");
    to[cap - 1] = '\0';
}

static int open_buffer(struct agent *a, bool *newer, struct error *e)
{
    const struct buffer_settings *s = &a->config->buffer;
    char dir[PATH_MAX];

    if ((size_t)snprintf(dir, sizeof dir, "%s/buffer", a->config->data_dir) >= sizeof dir)
        return error_set(e, "data_dir is too long");
    a->buffer = buffer_open(
        &(struct buffer_options){
            .dir = dir,
            .max_bytes = s->max_bytes,
            .min_free_bytes = s->min_free_bytes,
            .min_free_share = s->min_free_share,
            .sync_off = s->sync_off,
            .sync_ms = s->sync_ms,
            .reserve_bytes = (uint64_t)((double)s->max_bytes * s->gelf_reserve_share),
            .cannot_wait_max_bytes = (uint64_t)((double)s->max_bytes * s->gelf_max_share),
            .on_room = on_room,
            .on_data = on_data,
            .arg = a,
        },
        newer, e);
    return a->buffer ? 0 : -1;
}

static int open_pipeline(struct agent *a, struct error *e)
{
    const struct config *c = a->config;
    bool to_file = c->output_kind == OUTPUT_FILE;

    host_name(&c->enrich, a->host, sizeof a->host);
    a->figures = (struct output_figures){fill_figures, a, a->host};
    a->encoder = encoder_create(&c->enrich, bytes_str(a->host), e);
    if (!a->encoder || redaction_open(&c->redact, &a->redact, e) < 0)
        return -1;
    encoder_redact(a->encoder, a->redact);
    a->formats = formats_create(c->parsers, e);
    if (!a->formats)
        return -1;
    a->intake = intake_create(
        &(struct intake_options){
            .buffer = a->buffer,
            .encoder = a->encoder,
            .formats = a->formats,
            .index_pattern = to_file ? c->file.path : c->elasticsearch.index,
            .index_window_ms = to_file ? 0 : c->elasticsearch.index_window_ms,
        },
        e);
    return a->intake ? 0 : -1;
}

static const struct origin *find_origin(void *arg, struct bytes container_id)
{
    struct agent *a = arg;

    return a->docker ? docker_input_origin(a->docker, container_id) : NULL;
}

static int start_inputs(struct agent *a, struct error *e)
{
    const struct config *c = a->config;

    a->config->docker.exclude_pods = c->kubernetes.enabled ? c->kubernetes.exclude : NULL;
    if (c->docker.enabled) {
        a->docker = docker_input_start(&c->docker, a->loop, a->intake, a->holder, e);
        if (!a->docker)
            return -1;
    }
    if (c->kubernetes.enabled)
        a->pods = pods_input_start(&c->kubernetes, c->docker.enabled ? &c->docker : NULL, a->loop,
                                   a->intake);
    if (c->files[0]) {
        a->files = files_input_start(c->files, a->loop, a->intake, e);
        if (!a->files)
            return -1;
    }
    if (a->docker)
        a->tails[a->n_tails++] = docker_input_turns(a->docker);
    if (a->files)
        a->tails[a->n_tails++] = files_input_turns(a->files);
    if (a->pods)
        a->tails[a->n_tails++] = pods_input_turns(a->pods);
    if (c->gelf.udp[0] || c->gelf.tcp[0]) {
        a->gelf = gelf_input_start(&c->gelf, &a->sockets, a->loop, a->intake, find_origin, a, e);
        if (!a->gelf)
            return -1;
    }
    a->replay = replay_input_start(c->data_dir, a->loop, a->intake, e);
    return a->replay ? 0 : -1;
}

/* What takes rights that are given up afterwards. */
static int open_sockets(struct agent *a, struct error *e)
{
    const struct config *c = a->config;

    if (c->status_listen[0] && (a->status_fd = status_listen(c->status_listen, e)) < 0)
        return -1;
    return gelf_sockets_open(&c->gelf, &a->sockets, e);
}

static int start_output(struct agent *a, struct error *e)
{
    void *output;

    a->output_ops = output_kinds[a->config->output_kind];
    output = a->output_ops->start(
        &(struct output_options){.config = a->config, .buffer = a->buffer, .figures = &a->figures},
        e);
    if (!output)
        return -1;
    set_output(a, output);
    return 0;
}

static int start_status(struct agent *a, struct error *e)
{
    int fd = a->status_fd;

    if (fd < 0)
        return 0;
    a->status_fd = -1;
    a->status =
        status_start(fd, a->config->status_listen, fill_figures, is_healthy, is_ready, a, e);
    return a->status ? 0 : -1;
}

static int start(struct agent *a, bool *newer, struct error *e)
{
    struct error no_sockets;
    bool listening;

    a->loop = loop_create();
    if (make_data_dir(a->config->data_dir, e) < 0)
        return -1;
    listening = open_sockets(a, &no_sockets) == 0;
    /* Around the giving up of rights, and ahead of all other threads: it hands on one of them. */
    if (a->config->docker.enabled)
        docker_holder_prepare();
    confine_enter(a->config_path, a->config);
    if (a->config->docker.enabled)
        a->holder = docker_holder_start(on_held, a);
    signals_start(on_reload_signal, a);
    /* A second agent on the same data_dir is to hear of that, not of the sockets. */
    if (open_buffer(a, newer, e) < 0)
        return -1;
    if (!listening)
        return error_set(e, "%s", no_sockets.text);
    if (open_pipeline(a, e) < 0 || start_output(a, e) < 0 || start_status(a, e) < 0 ||
        start_inputs(a, e) < 0)
        return -1;
    a->upkeep = loop_timer_add(a->loop, upkeep, a);
    a->watchdog = loop_timer_add(a->loop, pet_watchdog, a);
    a->watchdog_ms = notify_watchdog_ms();
    if (a->watchdog_ms)
        loop_timer_set(a->watchdog, a->watchdog_ms / 2);
    loop_set_turn(a->loop, turn, a);
    return 0;
}

/* Takes down what stands, also after a start that failed half-way. */
static void stop(struct agent *a)
{
    void *output;

    signals_call_nobody();
    atomic_store(&a->running, false);
    a->n_tails = 0;
    if (a->docker)
        docker_input_stop(a->docker);
    docker_holder_stop(a->holder);
    files_input_stop(a->files);
    pods_input_stop(a->pods);
    if (a->gelf)
        gelf_input_stop(a->gelf);
    if (a->replay)
        replay_input_stop(a->replay);
    if (a->buffer)
        buffer_commit(a->buffer);
    output = set_output(a, NULL);
    if (output)
        a->output_ops->stop(output, stop_left_ms(a));
    status_stop(a->status);
    if (a->status_fd >= 0)
        close(a->status_fd);
    gelf_sockets_close(&a->sockets);
    intake_free(a->intake);
    encoder_free(a->encoder);
    formats_free(a->formats);
    redact_free(a->redact);
    if (a->buffer)
        buffer_close(a->buffer);
    loop_timer_remove(&a->upkeep);
    loop_timer_remove(&a->watchdog);
    loop_destroy(a->loop);
}

static void tell_running(const struct agent *a)
{
    struct strbuf destination = {0};

    add_destination(&destination, a->config);
    log_info("barge is running", LOG_STR("version", BARGE_VERSION),
             LOG_STR("data_dir", a->config->data_dir), LOG_STR("output", a->output_ops->name),
             LOG_STR("to", destination.p));
    strbuf_fini(&destination);
    startup_pages_release();
    notify_state("READY=1");
}

int command_run(const char *config_path)
{
    struct agent a = {.config_path = config_path,
                      .output_lock = PTHREAD_MUTEX_INITIALIZER,
                      .status_fd = -1,
                      .sockets = {-1, -1}};
    struct config_problems problems = {0};
    struct error error = {""};
    bool newer = false;
    int status = 0;

    a.config = load(config_path, &problems);
    if (!a.config) {
        report_problems(config_path, &problems);
        config_problems_fini(&problems);
        return 2;
    }
    config_problems_fini(&problems);
    log_init(a.config->log_level, a.config->log_format);
    umask(077);
    signals_block();
    if (start(&a, &newer, &error) < 0) {
        log_error("cannot start", LOG_STR("why", error.text));
        status = newer ? 2 : 1;
    } else {
        signals_expect_stop(on_stop_signal);
        atomic_store(&a.running, true);
        tell_running(&a);
        loop_run(a.loop);
    }
    stop(&a);
    config_free(a.config);
    return status;
}
