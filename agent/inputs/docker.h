/*
 * docker: the json-file input. Finds containers in Docker's containers folder by inotify (a rescan
 * is the net), follows each one's log through every kind of rotation, joins 16 KiB pieces per
 * stream, hands records to the intake. No Docker socket. Intake thread.
 */
#ifndef BARGE_INPUT_DOCKER_H
#define BARGE_INPUT_DOCKER_H

#include "agent/config/config.h"
#include "agent/inputs/docker_holder.h"
#include "agent/inputs/tail_turns.h"
#include "agent/loop/loop.h"
#include "agent/pipeline/intake.h"

struct docker_input;

/* Looks at the folder, reads positions from the intake's buffer, starts to watch. A folder that is
 * not there yet is waited for. holder: what it opens is taken (its wake must make the loop turn);
 * borrowed until docker_input_stop; NULL: none. */
struct docker_input *docker_input_start(const struct docker_settings *s, struct loop *loop,
                                        struct intake *in, struct docker_holder *holder,
                                        struct error *e);

/* By which it is run (tail_turns.h). As long as the input. */
struct tail_turns *docker_input_turns(struct docker_input *d);

/* The origin of a container by its id (64 hex digits; a unique prefix of 12 at least), NULL when it
 * is not known here. Borrowed until the next call into this module. For GELF. */
const struct origin *docker_input_origin(struct docker_input *d, struct bytes container_id);

/* The intake has other formats: those that were taken from the former ones are let go. */
void docker_input_formats_changed(struct docker_input *d);

void docker_input_stop(struct docker_input *d);

#endif
