#include "agent/inputs/docker_holder.h"

#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/inputs/docker_config.h"
#include "agent/inputs/watch_table.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WAITING_MAX 512 /* not yet taken; then events wait in the kernel */
#define EVENT_BYTES 16384
#define BATCH_CONTAINERS (EVENT_BYTES / sizeof(struct inotify_event))
#define RECENT 8     /* files of a container that are recognised */
#define LATE_INDEX 8 /* how far down the chain of rotated files one is looked for */

/* The kernel makes one of equal events that follow each other. Between two files that are made, one
 * is renamed or removed: these events are there to keep them apart. */
#define EVENTS (IN_CREATE | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR | IN_DONT_FOLLOW)

struct watch {
    char *path;
    char hex[DOCKER_HEX_BYTES + 1];
    bool dead; /* unwatched while the thread works on it, which frees it */
    /* The thread's: */
    bool config_opened;
    struct tail_inode recent[RECENT]; /* opened last; number and birth count */
    unsigned n_recent;
};

struct docker_holder {
    void (*wake)(void *arg);
    void *arg;
    int inotify, stop; /* stop: eventfd */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t taken;
    bool stopping; /* under lock, as all below */
    struct watch_table watches;
    struct watch *at_work; /* the one that the thread uses without the lock */
    struct docker_held waiting[WAITING_MAX];
    size_t first, n;
    _Atomic bool some; /* n > 0, for a look without the lock */
};

/* ---- watches ---- */

static void free_watch(void *arg)
{
    struct watch *w = arg;

    free(w->path);
    free(w);
}

/* Under the lock. */
static void forget_watch(struct docker_holder *h, int wd)
{
    struct watch *w = watch_table_take(&h->watches, wd);

    if (w && h->at_work == w)
        w->dead = true;
    else if (w)
        free_watch(w);
}

int docker_holder_watch(struct docker_holder *h, const char *path, const char *hex)
{
    int wd;

    if (!h) {
        errno = ENOSYS;
        return -1;
    }
    /* Under the lock: the first event must not come before its watch is known. */
    pthread_mutex_lock(&h->lock);
    wd = inotify_add_watch(h->inotify, path, EVENTS);
    if (wd >= 0 && !watch_table_get(&h->watches, wd)) {
        struct watch *w = base_calloc(1, sizeof *w);

        w->path = base_strdup(path);
        memcpy(w->hex, hex, DOCKER_HEX_BYTES);
        watch_table_put(&h->watches, wd, w);
    }
    pthread_mutex_unlock(&h->lock);
    return wd;
}

void docker_holder_unwatch(struct docker_holder *h, int watch)
{
    if (!h || watch < 0)
        return;
    pthread_mutex_lock(&h->lock);
    forget_watch(h, watch);
    pthread_mutex_unlock(&h->lock);
    inotify_rm_watch(h->inotify,
                     watch); /* fails when the folder has gone: then the kernel did it */
}

/* ---- what is handed over ---- */

void docker_held_close(const struct docker_held *held)
{
    for (unsigned i = 0; i < held->n; i++)
        io_close(held->fds[i]);
    if (held->config >= 0)
        io_close(held->config);
}

/* Waits while nothing is taken. */
static void hand_over(struct docker_holder *h, const struct docker_held *held)
{
    bool stopping;

    pthread_mutex_lock(&h->lock);
    while (h->n == WAITING_MAX && !h->stopping)
        pthread_cond_wait(&h->taken, &h->lock);
    stopping = h->stopping;
    if (!stopping) {
        h->waiting[(h->first + h->n++) % WAITING_MAX] = *held;
        atomic_store_explicit(&h->some, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&h->lock);
    if (stopping)
        docker_held_close(held);
    else
        h->wake(h->arg);
}

bool docker_holder_take(struct docker_holder *h, struct docker_held *to)
{
    bool found;

    if (!h || !atomic_load_explicit(&h->some, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&h->lock);
    found = h->n > 0;
    if (found) {
        *to = h->waiting[h->first];
        h->first = (h->first + 1) % WAITING_MAX;
        h->n--;
    }
    atomic_store_explicit(&h->some, h->n > 0, memory_order_relaxed);
    pthread_cond_signal(&h->taken);
    pthread_mutex_unlock(&h->lock);
    return found;
}

/* ---- opening ---- */

/* A number is used again at once, so a birth must be known and the same; in one tick of the clock
 * even that may be another file's. */
static bool is_recent(const struct watch *w, const struct tail_inode *inode)
{
    for (unsigned i = 0; i < MIN(w->n_recent, (unsigned)RECENT); i++)
        if (tail_inode_same(&w->recent[i], inode) && inode->btime_ns &&
            w->recent[i].btime_ns == inode->btime_ns)
            return true;
    return false;
}

/* Opens the container's log number index (0: the live one). Looked at by name first: only regular
 * files are opened at all, and rotated ones only when they are new here. True when it is new. */
static bool open_log(struct watch *w, int dir, unsigned index, struct docker_held *held)
{
    char name[DOCKER_HEX_BYTES + sizeof "-json.log.4294967295"];
    struct tail_inode inode;
    bool fresh;
    int fd;

    snprintf(name, sizeof name, index ? "%s-json.log.%u" : "%s-json.log", w->hex, index);
    if (tail_inode_get(dir, name, &inode) < 0 || !inode.regular || (index && is_recent(w, &inode)))
        return false;
    fd = io_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return false;
    if (tail_inode_get(fd, NULL, &inode) < 0 || !inode.regular) {
        io_close(fd);
        return false;
    }
    fresh = !is_recent(w, &inode);
    if (fresh)
        w->recent[w->n_recent++ % RECENT] = inode;
    held->fds[held->n++] = fd;
    return fresh;
}

/* `made` live files were made in w's folder. When the live one is not all of them, the others have
 * been rotated by now. */
static void look(struct watch *w, unsigned made, struct docker_held *held)
{
    int dir = io_open(AT_FDCWD, w->path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
    unsigned found;

    *held = (struct docker_held){.made = made, .config = -1};
    memcpy(held->hex, w->hex, sizeof held->hex);
    if (dir < 0)
        return;
    if (!w->config_opened)
        held->config = docker_config_open(dir, DOCKER_CONFIG_NAME, NULL);
    w->config_opened |= held->config >= 0;
    found = open_log(w, dir, 0, held);
    for (unsigned i = 1; i <= LATE_INDEX && found < made && held->n < DOCKER_HOLDER_FILES; i++)
        found += open_log(w, dir, i, held);
    io_close(dir);
}

static void serve(struct docker_holder *h, int wd, unsigned made)
{
    struct docker_held held;
    struct watch *w;

    pthread_mutex_lock(&h->lock);
    w = h->at_work = watch_table_get(&h->watches, wd);
    pthread_mutex_unlock(&h->lock);
    if (!w)
        return;
    look(w, made, &held);
    pthread_mutex_lock(&h->lock);
    h->at_work = NULL;
    if (w->dead)
        free_watch(w);
    pthread_mutex_unlock(&h->lock);
    hand_over(h, &held);
}

/* ---- events ---- */

static bool is_live_log(const struct inotify_event *e)
{
    return e->len > DOCKER_HEX_BYTES && strcmp(e->name + DOCKER_HEX_BYTES, "-json.log") == 0;
}

/* Several live files that were made in one folder since the last look are looked for at once. */
static void handle(struct docker_holder *h, const char *events, size_t n)
{
    struct {
        int wd;
        unsigned made;
    } batch[BATCH_CONTAINERS];
    size_t containers = 0;

    for (size_t at = 0; at < n;) {
        const struct inotify_event *e = (const void *)(events + at);
        size_t i = 0;

        at += sizeof *e + e->len;
        if (e->mask & IN_Q_OVERFLOW)
            hand_over(h, &(struct docker_held){.config = -1});
        if (e->mask & IN_IGNORED) {
            pthread_mutex_lock(&h->lock);
            forget_watch(h, e->wd);
            pthread_mutex_unlock(&h->lock);
        }
        if (!(e->mask & IN_CREATE) || !is_live_log(e))
            continue;
        while (i < containers && batch[i].wd != e->wd)
            i++;
        if (i == containers) {
            batch[containers].wd = e->wd;
            batch[containers++].made = 0;
        }
        batch[i].made++;
    }
    for (size_t i = 0; i < containers; i++)
        serve(h, batch[i].wd, batch[i].made);
}

static void *run(void *arg)
{
    struct docker_holder *h = arg;
    _Alignas(struct inotify_event) char events[EVENT_BYTES];
    struct pollfd wait[] = {{.fd = h->inotify, .events = POLLIN},
                            {.fd = h->stop, .events = POLLIN}};

    pthread_setname_np(pthread_self(), "holder");
    for (;;) {
        ssize_t n;

        if (poll(wait, ARRAY_LEN(wait), -1) < 0 && errno != EINTR)
            base_die("waiting for events failed: %s", strerror(errno));
        if (wait[1].revents)
            return NULL;
        n = io_read(h->inotify, events, sizeof events);
        if (n > 0)
            handle(h, events, (size_t)n);
    }
}

/* ---- life ---- */

/* It works for microseconds and sleeps again, so it harms nobody by going first; behind others that
 * compute it would come too late by whole files. */
static const struct sched_param first = {.sched_priority = 1};

void docker_holder_prepare(void)
{
    if (sched_setscheduler(0, SCHED_RR, &first) < 0)
        log_info("log files that are rotated away within milliseconds may be missed while the "
                 "machine is busy: no right to real-time priority",
                 LOG_STR("knob", "LimitRTPRIO=1 (ulimit -r), CAP_SYS_NICE"));
}

/* The holder's thread has it from the one that made it, which steps back among the others. */
static void step_back(void)
{
    const struct sched_param none = {0};

    if (sched_getscheduler(0) == SCHED_RR && sched_setscheduler(0, SCHED_OTHER, &none) < 0)
        base_die("cannot give real-time priority back: %s", strerror(errno));
}

/* Whoever holds the lock while the holder waits for it goes first as well. */
static void init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t how;

    pthread_mutexattr_init(&how);
    pthread_mutexattr_setprotocol(&how, PTHREAD_PRIO_INHERIT);
    if (pthread_mutex_init(lock, &how) != 0)
        pthread_mutex_init(lock, NULL); /* the kernel has none */
    pthread_mutexattr_destroy(&how);
}

static bool start_thread(struct docker_holder *h)
{
    bool started = h->inotify >= 0 && h->stop >= 0 && pthread_create(&h->thread, NULL, run, h) == 0;

    step_back();
    return started;
}

struct docker_holder *docker_holder_start(void (*wake)(void *arg), void *arg)
{
    struct docker_holder *h = base_calloc(1, sizeof *h);

    h->wake = wake;
    h->arg = arg;
    init_lock(&h->lock);
    pthread_cond_init(&h->taken, NULL);
    h->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    h->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (start_thread(h))
        return h;
    log_warn("log files cannot be opened at the moment they are made: those that are rotated away "
             "within milliseconds may be missed",
             LOG_STR("knob", "fs.inotify.max_user_instances, LimitNPROC"));
    if (h->inotify >= 0)
        io_close(h->inotify);
    if (h->stop >= 0)
        io_close(h->stop);
    free(h);
    return NULL;
}

void docker_holder_stop(struct docker_holder *h)
{
    static const uint64_t one = 1;
    struct docker_held held;

    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_signal(&h->taken);
    pthread_mutex_unlock(&h->lock);
    if (write(h->stop, &one, sizeof one) != sizeof one)
        base_die("cannot end the holder: %s", strerror(errno));
    pthread_join(h->thread, NULL);
    while (docker_holder_take(h, &held))
        docker_held_close(&held);
    watch_table_fini(&h->watches, free_watch);
    io_close(h->inotify);
    io_close(h->stop);
    pthread_cond_destroy(&h->taken);
    pthread_mutex_destroy(&h->lock);
    free(h);
}
