#include "agent/sandbox/sandbox_internal.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the agent, libc (threads, name look-ups), libcurl with its TLS and libmicrohttpd call, on
 * old and new kernels and libraries. By name: headers know different ones. */
static const char *const always[] = {
    /* files */
    "access",
    "close",
    "copy_file_range",
    "dup",
    "dup2",
    "dup3",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fallocate",
    "fchmod",
    "fcntl",
    "fdatasync",
    "flock",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "getcwd",
    "getdents",
    "getdents64",
    "lseek",
    "link",
    "linkat",
    "lstat",
    "mkdir",
    "mkdirat",
    "newfstatat",
    "open",
    "openat",
    "pread64",
    "preadv",
    "pwrite64",
    "pwritev",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "stat",
    "statfs",
    "statx",
    "sync_file_range",
    "umask",
    "unlink",
    "unlinkat",
    "write",
    "writev",
    /* waiting */
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "inotify_add_watch",
    "inotify_init1",
    "inotify_rm_watch",
    "pipe",
    "pipe2",
    "poll",
    "ppoll",
    "pselect6",
    "select",
    "signalfd4",
    "timerfd_create",
    "timerfd_settime",
    /* sockets; listening ones are open already, bind is for the name look-up's netlink */
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendfile",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    /* memory */
    "brk",
    "madvise",
    "membarrier",
    "mincore",
    "mremap",
    "munmap",
    /* threads, time, the rest */
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "exit",
    "exit_group",
    "futex",
    "futex_time64",
    "get_robust_list",
    "getcpu",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getppid",
    "getrandom",
    "getrusage",
    "gettid",
    "gettimeofday",
    "getuid",
    "nanosleep",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "sysinfo",
    "time",
    "times",
    "uname",
};

/* Where 64 bits have always been 64 bits: elsewhere half of the calls have other names. */
#if defined(__x86_64__) || defined(__aarch64__)
#define KNOWN_MACHINE 1
#else
#define KNOWN_MACHINE 0
#endif

/* name, for argument arg masked with mask equal to value only. */
struct narrow {
    const char *name;
    unsigned arg;
    uint64_t mask, value;
};

#define EXACT(call, n, v)                                                                          \
    {                                                                                              \
        call, n, UINT32_MAX, (v)                                                                   \
    }

static const struct narrow narrowed[] = {
    /* A thread, never a process. */
    {"clone", 0, CLONE_THREAD, CLONE_THREAD},
    /* No page is both written and executed, and what was written does not become code. */
    {"mmap", 2, PROT_WRITE | PROT_EXEC, 0},
    {"mmap", 2, PROT_WRITE | PROT_EXEC, PROT_WRITE},
    {"mmap", 2, PROT_WRITE | PROT_EXEC, PROT_EXEC},
    {"mprotect", 2, PROT_EXEC, 0},
    EXACT("socket", 0, AF_UNIX),
    EXACT("socket", 0, AF_INET),
    EXACT("socket", 0, AF_INET6),
    EXACT("socket", 0, AF_NETLINK),
    EXACT("socketpair", 0, AF_UNIX),
    EXACT("ioctl", 1, FIONREAD),
    EXACT("ioctl", 1, FIONBIO),
    EXACT("ioctl", 1, TCGETS),
    EXACT("ioctl", 1, TIOCGWINSZ),
    EXACT("ioctl", 1, SIOCGIFINDEX),
    EXACT("ioctl", 1, SIOCGIFNAME),
    EXACT("prctl", 0, PR_SET_NAME),
    EXACT("prctl", 0, PR_GET_NAME),
    /* By the calling thread (0), which has no right to go ahead of others any more: to step back.
     */
    EXACT("sched_setscheduler", 0, 0),
    /* Limits of this process (0), read only in effect: what may be raised is raised already. */
    EXACT("prlimit64", 0, 0),
};

static bool allow_all(scmp_filter_ctx filter)
{
    int own = (int)getpid();

    for (size_t i = 0; i < ARRAY_LEN(always); i++) {
        int call = seccomp_syscall_resolve_name(always[i]);

        if (call != __NR_SCMP_ERROR && seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) < 0)
            return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(narrowed); i++) {
        const struct narrow *n = &narrowed[i];
        struct scmp_arg_cmp is = SCMP_CMP64(n->arg, SCMP_CMP_MASKED_EQ, n->mask, n->value);
        int call = seccomp_syscall_resolve_name(n->name);

        if (call != __NR_SCMP_ERROR &&
            seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &is) < 0)
            return false;
    }
    /* abort(3). */
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                            SCMP_CMP64(0, SCMP_CMP_EQ, (uint64_t)own, 0)) == 0;
}

/* What is old enough that no library takes ENOSYS for its answer, and would look like a fault of
 * the kernel. Everything else is "not there", so that libraries fall back as on an older kernel
 * (clone3 to clone). */
static const char *const refused[] = {"execve", "execveat", "fork",   "vfork",  "kill",  "ptrace",
                                      "mount",  "chroot",   "setuid", "setgid", "listen"};

static bool refuse(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        int call = seccomp_syscall_resolve_name(refused[i]);

        if (call != __NR_SCMP_ERROR && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0) < 0)
            return false;
    }
    return true;
}

/* NULL when a list of calls makes sense here. */
static const char *why_not(void)
{
    if (SANDBOX_SANITIZED)
        return "a sanitizer's build";
    if (!KNOWN_MACHINE)
        return "the list was never tried on this kind of machine";
    /* Also where the machine is Valgrind's, whose own calls would be filtered with ours. */
    if (seccomp_api_get() < 2)
        return "the kernel has no seccomp(2)";
    return NULL;
}

bool sandbox_calls_limit(struct strbuf *text)
{
    scmp_filter_ctx filter;
    bool made;
    int rc = -ENOMEM;
    const char *without = why_not();

    if (without) {
        strbuf_printf(text, "all: %s", without);
        return false;
    }
    filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    /* Never a kill: what we did not think of is to fail, to be logged and to be mended. */
    made = filter &&
           seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)) == 0 &&
           allow_all(filter) && refuse(filter);
    if (made) {
        /* Both only make it cheaper. Without the second, older kernels would slow down every
         * indirect load of the process. */
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
        rc = seccomp_load(filter);
    }
    seccomp_release(filter);
    if (rc == 0)
        strbuf_add_str(text, "listed ones");
    else
        strbuf_printf(text, "all: seccomp refuses: %s", strerror(-rc));
    return rc == 0;
}
