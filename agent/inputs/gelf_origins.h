/*
 * gelf_origins: the origins of GELF messages whose container is not known from the containers
 * folder: senders that are not Docker, and Docker on a host whose folder cannot be read. The 1,024
 * used last are kept; each holds at most a few KiB. Intake thread.
 */
#ifndef BARGE_GELF_ORIGINS_H
#define BARGE_GELF_ORIGINS_H

#include "parsers/document.h"
#include "parsers/formats.h"
#include "parsers/gelf_message.h"

#define GELF_ORIGINS_MAX 1024

struct gelf_origins;

/* formats: how their messages are read; borrowed, may be NULL. */
struct gelf_origins *gelf_origins_create(struct formats *formats);
void gelf_origins_free(struct gelf_origins *o);

/* The origin of m, found by container id, container name, image and (not for Docker, whose host is
 * this one) host. Labels that Docker sent as members help to guess the service, when the origin is
 * made. Each of the four is cut at 1,024 bytes. Valid until the next call. */
const struct origin *gelf_origins_of(struct gelf_origins *o, const struct gelf_message *m);

#endif
