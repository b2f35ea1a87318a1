/* Each promise of the sandbox, kept or broken by a child process that has entered it. */
#include "agent/base/log.h"
#include "agent/sandbox/sandbox.h"
#include "agent/sandbox/sandbox_internal.h"
#include "tests/unit/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* In the child: what is wrong goes to standard error, and the status tells the test. */
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s does not hold (errno %s)\n", __FILE__, __LINE__, #x,        \
                    strerror(errno));                                                              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#define FAILS_WITH(call, code) CHECK((errno = 0, (call) == -1 && errno == (code)))

static char folder[] = "/tmp/barge-sandbox-XXXXXX";

static const char *at(const char *name)
{
    static char paths[4][256];
    static unsigned next;

    next = (next + 1) % ARRAY_LEN(paths);
    snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
    return paths[next];
}

static void put(const char *name)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || write(fd, "x", 1) != 1)
        fail_msg("cannot write %s", at(name));
    close(fd);
}

static void run_child(void (*enter)(void), void (*body)(void))
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        enter();
        body();
        exit(0); /* with the leak check of a sanitizer */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with status %#x", (unsigned)status);
}

/* The sandbox of an agent: reads in/, writes out/. */
static void enter(void)
{
    struct sandbox *s = sandbox_create();

    CHECK(sandbox_may_read(s, at("in")));
    CHECK(!sandbox_may_read(s, at("nothing")));
    CHECK(sandbox_may_write(s, at("out")));
    sandbox_may_reread(s, at("secrets/link"));
    sandbox_enter(s);
}

static void enter_reading_all(void)
{
    struct sandbox *s = sandbox_create();

    CHECK(sandbox_may_write(s, at("out")));
    sandbox_may_read_all(s);
    sandbox_enter(s);
}

static long landlock; /* its version, asked for before it cannot be asked for any more */

/* ---- rights ---- */

static uint64_t status_figure(const char *name)
{
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long long value = UINT64_MAX;
    char line[256];
    size_t n = strlen(name);

    CHECK(f);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, n) == 0 && line[n] == ':')
            value = strtoull(line + n + 1, NULL, line[0] == 'C' ? 16 : 10);
    fclose(f);
    return value;
}

static void rights_gone(void)
{
    const uint64_t read_search = 1ull << CAP_DAC_READ_SEARCH;
    uint64_t kept = geteuid() == 0 ? read_search : 0;
    struct rlimit core;

    CHECK(status_figure("CapEff") == kept);
    CHECK(status_figure("CapPrm") == kept);
    CHECK(status_figure("CapInh") == 0);
    CHECK(status_figure("CapAmb") == 0);
    if (geteuid() == 0)
        CHECK((status_figure("CapBnd") & ~read_search) == 0);
    CHECK(status_figure("NoNewPrivs") == 1);
    CHECK(status_figure("Seccomp") == (SANDBOX_SANITIZED ? 0u : 2u));
    CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
}

static void rights(void **state)
{
    (void)state;
    run_child(enter, rights_gone);
}

/* Files in /proc of a process that may not be dumped belong to root. */
static void no_dumps(void **state)
{
    int entered[2], done[2], status;
    char path[64], c = 0;
    struct stat st = {0};
    pid_t child;

    (void)state;
    if (geteuid() != 0 || pipe(entered) < 0 || pipe(done) < 0)
        skip();
    child = fork();
    if (child == 0) {
        close(done[1]);
        CHECK(setgid(4711) == 0 && setuid(4711) == 0);
        /* Changing users forbids it already. */
        CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
        sandbox_enter(sandbox_create());
        CHECK(write(entered[1], "x", 1) == 1 && read(done[0], &c, 1) == 0);
        exit(0);
    }
    close(entered[1]);
    close(done[0]);
    assert_int_equal(read(entered[0], &c, 1), 1);
    snprintf(path, sizeof path, "/proc/%d/environ", (int)child);
    assert_int_equal(stat(path, &st), 0);
    close(done[1]);
    close(entered[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(st.st_uid, 0);
}

/* ---- system calls ---- */

static void *thread(void *arg)
{
    *(int *)arg = 1;
    return arg;
}

static void calls_denied(void)
{
    char *const args[] = {NULL};
    size_t page = 4096;
    void *p;

    FAILS_WITH(execve("/bin/true", args, args), EPERM);
    FAILS_WITH(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), ENOSYS);
    FAILS_WITH(fork(), ENOSYS);
    FAILS_WITH(syscall(SYS_clone3, NULL, 0), ENOSYS);
    FAILS_WITH(ptrace(PTRACE_TRACEME, 0, 0, 0), EPERM);
    FAILS_WITH(kill(getppid(), 0), EPERM);
    FAILS_WITH(syscall(SYS_tgkill, getppid(), getppid(), 0), ENOSYS);
    FAILS_WITH(socket(AF_PACKET, SOCK_RAW, 0), ENOSYS);
    FAILS_WITH(listen(0, 1), EPERM);
    FAILS_WITH(syscall(SYS_bpf, 0, NULL, 0), ENOSYS);
    FAILS_WITH(syscall(SYS_io_uring_setup, 1, NULL), ENOSYS);
    FAILS_WITH(syscall(SYS_unshare, 0), ENOSYS);
    FAILS_WITH(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), ENOSYS);
    CHECK(mmap(NULL, page, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
          MAP_FAILED);
    p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    FAILS_WITH(mprotect(p, page, PROT_READ | PROT_EXEC), ENOSYS);
}

static void calls_allowed(void)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    pthread_t t;
    int ran = 0, udp = socket(AF_INET, SOCK_DGRAM, 0), pair[2];

    CHECK(pthread_create(&t, NULL, thread, &ran) == 0 && pthread_join(t, NULL) == 0 && ran);
    CHECK(getaddrinfo("localhost", "9", &hints, &found) == 0 && found);
    freeaddrinfo(found);
    CHECK(udp >= 0 && bind(udp, (struct sockaddr *)&a, n) == 0);
    CHECK(getsockname(udp, (struct sockaddr *)&a, &n) == 0);
    CHECK(sendto(udp, "x", 1, 0, (struct sockaddr *)&a, n) == 1);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(pthread_setname_np(pthread_self(), "named") == 0);
}

static void system_calls(void **state)
{
    (void)state;
    if (!SANDBOX_SANITIZED)
        run_child(enter, calls_denied);
    run_child(enter, calls_allowed);
}

/* A failed assertion must still end the process by SIGABRT. */
static void abort_works(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        sandbox_enter(sandbox_create());
        abort();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- files ---- */

static int try_open(const char *name, int flags)
{
    int fd = open(at(name), flags, 0600);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static void files_limited(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int tcp = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(try_open("in/file", O_RDONLY) == 0);
    CHECK(open("/etc/hosts", O_RDONLY) >= 0);
    CHECK(open("/proc/self/status", O_RDONLY) >= 0);
    CHECK(open("/dev/urandom", O_RDONLY) >= 0);
    /* Outside: not read, but listed. */
    FAILS_WITH(try_open("other/file", O_RDONLY), EACCES);
    CHECK(try_open("other", O_RDONLY | O_DIRECTORY) == 0);
    FAILS_WITH(try_open("file", O_RDONLY), EACCES);
    /* A link inside leads nowhere outside. */
    FAILS_WITH(try_open("in/link", O_RDONLY), EACCES);
    /* Nothing is written but below out/. */
    FAILS_WITH(try_open("in/file", O_RDWR), EACCES);
    FAILS_WITH(try_open("in/new", O_WRONLY | O_CREAT), EACCES);
    FAILS_WITH(unlink(at("in/file")), EACCES);
    FAILS_WITH(rename(at("in/file"), at("out/file")), EACCES);
    FAILS_WITH(mkdir(at("other/d"), 0700), EACCES);
    CHECK(mkdir(at("out/a"), 0700) == 0 && mkdir(at("out/b"), 0700) == 0);
    CHECK(try_open("out/a/file", O_RDWR | O_CREAT | O_EXCL) == 0);
    CHECK(rename(at("out/a/file"), at("out/b/file")) == 0);
    CHECK(try_open("out/b/file", O_RDWR | O_TRUNC) == 0);
    CHECK(unlink(at("out/b/file")) == 0 && rmdir(at("out/a")) == 0 && rmdir(at("out/b")) == 0);
    /* Secrets: where the path leads, and what lies beside it. */
    CHECK(try_open("secrets/link", O_RDONLY) == 0);
    CHECK(try_open("secrets/file", O_RDONLY) == 0);
    CHECK(try_open("behind/target", O_RDONLY) == 0);
    /* No port is opened any more. */
    if (landlock >= 4)
        FAILS_WITH(bind(tcp, (struct sockaddr *)&a, sizeof a), EACCES);
}

static void files_read_everywhere(void)
{
    CHECK(try_open("other/file", O_RDONLY) == 0);
    FAILS_WITH(try_open("other/file", O_RDWR), EACCES);
    CHECK(try_open("out/file", O_RDWR | O_CREAT) == 0);
}

static void files(void **state)
{
    (void)state;
    landlock = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (SANDBOX_SANITIZED || landlock < 2)
        skip();
    run_child(enter, files_limited);
    run_child(enter_reading_all, files_read_everywhere);
}

/* ---- the stage ---- */

static int set_up(void **state)
{
    static const char *const folders[] = {"in", "out", "other", "secrets", "behind"};
    static const char *const files_in[] = {"in/file", "other/file", "file", "secrets/file",
                                           "behind/target"};

    (void)state;
    if (!mkdtemp(folder))
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(folders); i++)
        if (mkdir(at(folders[i]), 0700) < 0)
            return -1;
    for (size_t i = 0; i < ARRAY_LEN(files_in); i++)
        put(files_in[i]);
    return symlink(at("other/file"), at("in/link")) |
           symlink("../behind/target", at("secrets/link"));
}

static int tear_down(void **state)
{
    (void)state;
    return files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rights),      cmocka_unit_test(no_dumps), cmocka_unit_test(system_calls),
        cmocka_unit_test(abort_works), cmocka_unit_test(files),
    };

    log_init(LOG_ERROR, LOG_LOGFMT);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
