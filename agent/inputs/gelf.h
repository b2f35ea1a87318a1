/*
 * gelf: GELF over UDP (recvmmsg, chunks, gzip and zlib) and TCP (NUL frames), joined again where
 * Docker's driver cut at 16 KiB, handed to the intake. Intake thread.
 */
#ifndef BARGE_INPUT_GELF_H
#define BARGE_INPUT_GELF_H

#include "agent/config/config.h"
#include "agent/loop/loop.h"
#include "agent/pipeline/intake.h"

struct gelf_input;

/* Looks a container up by its id; may be NULL. */
typedef const struct origin *(*gelf_origin_fn)(void *arg, struct bytes container_id);

struct gelf_sockets {
    int udp, tcp; /* -1: off */
};

/* Binds what s asks for; sockets passed by systemd (LISTEN_FDS) that fit take the place of binding.
 * Before other threads run and before rights are given up (ports below 1024, large socket buffers).
 * -1 with *e when an address cannot be bound; nothing is open then. */
int gelf_sockets_open(const struct gelf_settings *s, struct gelf_sockets *to, struct error *e);
void gelf_sockets_close(struct gelf_sockets *s);

/* Begins to receive from sockets, taken over in any case. NULL with *e when the kernel refuses. */
struct gelf_input *gelf_input_start(const struct gelf_settings *s, struct gelf_sockets *sockets,
                                    struct loop *loop, struct intake *in, gelf_origin_fn origin,
                                    void *origin_arg, struct error *e);

/* There may be room in the buffer again: streams that wait go on. */
void gelf_input_room(struct gelf_input *g);

/* The intake has other formats: those that were taken from the former ones are let go. */
void gelf_input_formats_changed(struct gelf_input *g);

/* Receives what the sockets still hold, gives up what is pending (counted), closes. The agent
 * commits afterwards. */
void gelf_input_stop(struct gelf_input *g);

#endif
