#include "agent/sandbox/sandbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than some headers; the kernel's numbers (landlock(7)). */
#define FS_TRUNCATE (1ull << 14)  /* since ABI 3 */
#define FS_IOCTL_DEV (1ull << 15) /* since ABI 5 */
#define NET_BIND_TCP (1ull << 0)  /* since ABI 4 */
#define SCOPE_SIGNAL (1ull << 1)  /* since ABI 6 */

#define READING (LANDLOCK_ACCESS_FS_READ_FILE)
#define LISTING (LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITING                                                                                    \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |  \
     LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE)
/* Nobody may do that anywhere. */
#define NEVER                                                                                      \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK |    \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |  \
     FS_IOCTL_DEV)
/* What there is to a file that is no folder. */
#define OF_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)

/* struct landlock_ruleset_attr as of ABI 6: an older kernel takes the head of it. */
struct handled {
    uint64_t fs, net, scoped;
};

static size_t handled_size(long abi)
{
    return abi >= 6   ? sizeof(struct handled)
           : abi >= 4 ? offsetof(struct handled, scoped)
                      : offsetof(struct handled, net);
}

static bool add_rule(int ruleset, int fd, uint64_t allowed)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = allowed, .parent_fd = fd};

    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

/* Names may be listed everywhere: what cannot be read can then at least be told. */
static bool add_root(int ruleset, uint64_t allowed)
{
    int fd = open("/", O_PATH | O_CLOEXEC);
    bool added = fd >= 0 && add_rule(ruleset, fd, allowed);

    if (fd >= 0)
        close(fd);
    return added;
}

bool sandbox_files_limit(const struct sandbox_rule *rules, size_t n, bool read_all,
                         struct strbuf *text)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct handled handled = {READING | LISTING | WRITING | NEVER, NET_BIND_TCP, SCOPE_SIGNAL};
    bool done;
    int ruleset;

    if (SANDBOX_SANITIZED) {
        strbuf_add_str(text, "all: a sanitizer's build");
        return false;
    }
    if (abi < 2) { /* the first one forbids every rename from folder to folder */
        strbuf_printf(text, "all: the kernel has no Landlock%s", abi > 0 ? " of version 2" : "");
        return false;
    }
    handled.fs &= ~((abi < 3 ? FS_TRUNCATE : 0) | (abi < 5 ? FS_IOCTL_DEV : 0));
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, handled_size(abi), 0);
    done = ruleset >= 0 && add_root(ruleset, LISTING | (read_all ? READING : 0));
    for (size_t i = 0; done && i < n; i++) {
        uint64_t allowed = READING | LISTING | (rules[i].write ? WRITING : 0);

        done = add_rule(ruleset, rules[i].fd,
                        allowed & handled.fs & (rules[i].folder ? ~0ull : OF_FILES));
    }
    done = done && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    if (done)
        strbuf_printf(text, "Landlock %ld%s", abi, read_all ? ", reading not limited" : "");
    else
        strbuf_printf(text, "all: Landlock refuses: %s", strerror(errno));
    if (ruleset >= 0)
        close(ruleset);
    return done;
}
