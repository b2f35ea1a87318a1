/*
 * sandbox_internal: the parts of the sandbox. Each does what it can and adds to its text what is on
 * ("Landlock 4"); false when the kernel has nothing of the kind, with the reason there.
 */
#ifndef BARGE_SANDBOX_INTERNAL_H
#define BARGE_SANDBOX_INTERNAL_H

#include "agent/base/strbuf.h"

/* Capabilities but for CAP_DAC_READ_SEARCH (and CAP_DAC_OVERRIDE) dropped, from every set. The text
 * names those left. */
bool sandbox_rights_drop(bool keep_override, struct strbuf *text);

/* The list of system calls put in force. After sandbox_rights_drop. */
bool sandbox_calls_limit(struct strbuf *text);

struct sandbox_rule {
    int fd; /* O_PATH */
    bool folder, write;
};

/* Opening files limited to the rules. read_all: only writing is. */
bool sandbox_files_limit(const struct sandbox_rule *rules, size_t n, bool read_all,
                         struct strbuf *text);

/* A sanitizer's runtime does what no agent does (ptrace, fork, exec, open what it likes): the lists
 * of calls and files would be those of the tool, not ours, and are left out. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif

#endif
