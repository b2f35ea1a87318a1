/*
 * status_page: asks the running agent of a configuration for its figures. One thread.
 */
#ifndef BARGE_STATUS_PAGE_H
#define BARGE_STATUS_PAGE_H

#include "agent/base/strbuf.h"
#include "agent/config/config.h"

/* Puts the JSON of /status into *to, emptied first and NUL-terminated. -1 with *e: nobody answers
 * within timeout_s, or nobody can be asked. */
int status_page_get(const struct config *c, long timeout_s, struct strbuf *to, struct error *e);

#endif
